// Guests of the benches' own: each does one thing many times, without a console, and powers off.
//
// Short enough that the vCPU's trace ring holds the whole run, and run again from power-on for more samples:
// reading a ring while a guest writes to it would disturb what is measured.

import { SbiCovg, SbiExtension } from '../core/hart/sbi.ts'
import { assemble } from '../core/riscv/asm.ts'

const ENTRY = 0x80200000
/** Pages that nothing else uses. */
const SCRATCH = 0x84000000
/** Claimed by no device: an access ends in the VMM (KVM_EXIT_MMIO). */
const NOWHERE = 0x40000000
const PAGE = 4096
/** Ticks of the guest's time a microsecond. */
const TICKS_PER_US = 10

const EHDR = 64
const PHDR = 56

/** A static executable with one segment. */
const elf = (words: Uint32Array<ArrayBuffer>): Uint8Array => {
  const data = PAGE
  const file = new Uint8Array(data + words.byteLength)
  const view = new DataView(file.buffer)
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true) // ET_EXEC
  view.setUint16(18, 243, true) // EM_RISCV
  view.setUint32(20, 1, true)
  u64(24, ENTRY)
  u64(32, EHDR)
  view.setUint16(52, EHDR, true)
  view.setUint16(54, PHDR, true)
  view.setUint16(56, 1, true)
  view.setUint32(EHDR, 1, true) // PT_LOAD
  view.setUint32(EHDR + 4, 7, true)
  u64(EHDR + 8, data)
  u64(EHDR + 16, ENTRY)
  u64(EHDR + 24, ENTRY)
  u64(EHDR + 32, words.byteLength)
  u64(EHDR + 40, words.byteLength)
  u64(EHDR + 48, PAGE)
  file.set(new Uint8Array(words.buffer), data)
  return file
}

const guest = (source: string): Uint8Array =>
  elf(
    assemble(
      `${source}
       li a0, 0
       li a1, 0
       j off
     fail:
       li a0, 0
       li a1, 1
     off:
       li a6, 0
       li a7, ${SbiExtension.SRST}
       ecall`,
      ENTRY,
    ),
  )

/** Asks to convert `s2` bytes at `s0`; goes to `fail` when that is refused. */
const convert = (fid: number): string => `
  mv a0, s0
  mv a1, s2
  li a6, ${fid}
  li a7, ${SbiExtension.COVG}
  ecall
  bnez a0, fail`

/** Computes for `us` microseconds, so that whoever spun for the next exit has given up. */
const pause = (label: string, us: number): string =>
  us === 0
    ? ''
    : `
  csrr t0, time
  li t1, ${us * TICKS_PER_US}
  add t0, t0, t1
${label}:
  csrr t1, time
  bltu t1, t0, ${label}`

/** Shares and unshares one page, touching it between; `idleUs` passes before each ask. */
export const conversionGuest = (rounds: number, idleUs: number): Uint8Array =>
  guest(`
    li s0, ${SCRATCH}
    li s1, ${rounds}
    li s2, ${PAGE}
  loop:
    sd zero, 0(s0)
    ${pause('before_share', idleUs)}
    ${convert(SbiCovg.SHARE)}
    sd zero, 0(s0)
    ${pause('before_unshare', idleUs)}
    ${convert(SbiCovg.UNSHARE)}
    addi s1, s1, -1
    bnez s1, loop`)

/** Writes to `pages` pages it never touched before: private, or shared by one conversion first. */
export const faultGuest = (pages: number, shared: boolean): Uint8Array =>
  guest(`
    li s0, ${SCRATCH}
    li s1, ${pages}
    li s2, ${pages * PAGE}
    ${shared ? convert(SbiCovg.SHARE) : ''}
    li s2, ${PAGE}
  loop:
    sd zero, 0(s0)
    add s0, s0, s2
    addi s1, s1, -1
    bnez s1, loop`)

/** Loads from an address where nothing is: vCPU, KVM, VMM and back. */
export const doorbellGuest = (rounds: number, idleUs: number): Uint8Array =>
  guest(`
    li s0, ${NOWHERE}
    li s1, ${rounds}
  loop:
    ${pause('idle', idleUs)}
    lw t2, 0(s0)
    addi s1, s1, -1
    bnez s1, loop`)
