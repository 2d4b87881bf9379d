// The checks of Gunyah's own test VMM (facts of the posted series), each line a test: what host and guest see of memory
// that is lent, and of memory that is shared.

import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { DevMem } from '../host/dev-mem.ts'
import { VcpuExit } from './run-page.ts'
import { GunyahMachine, RAM } from './testing/gunyah-host.ts'
import { ALLOW_RWX, Gunyah, MemFlag } from './uapi.ts'

const PAGE = 4096
/** A page of RAM that no program or device tree lies in. */
const DATA = 4
const RW = MemFlag.READ | MemFlag.WRITE

/** s0: the data page. Each MMIO store to 0x1000 hands t1 to the VMM. */
const PROLOGUE = `li s0, ${RAM + DATA * PAGE}\nli s1, 0x1000\n`
const REPORT = 'sd t1, 0(s1)\n'
const SPIN = 'end:\nj end\n'

/** A machine whose page DATA is lent, or, bound apart, shared. */
const machineWith = (shared: boolean): GunyahMachine => {
  if (!shared) return new GunyahMachine()
  const machine = new GunyahMachine({ flags: ALLOW_RWX })
  const tail = { fd: machine.memFd, gpa: RAM + DATA * PAGE, offset: DATA * PAGE, size: 12 * PAGE }
  if (machine.mapMem(machine.vmFd, { ...tail, flags: ALLOW_RWX | MemFlag.UNMAP }) !== 0)
    throw new Error('the tail is not free')
  const page = { ...tail, size: PAGE }
  if (machine.mapMem(machine.vmFd, { ...page, flags: RW | MemFlag.FORCE_SHARE }) !== 0)
    throw new Error('the page is not shared')
  const rest = { fd: machine.memFd, gpa: page.gpa + PAGE, offset: page.offset + PAGE, size: 11 * PAGE }
  if (machine.mapMem(machine.vmFd, rest) !== 0) throw new Error('the rest is not lent')
  return machine
}

/** Runs to the next report: what the guest stored. */
const report = (machine: GunyahMachine): number => {
  expect(machine.enter()).toBe(0)
  const { run } = machine.vcpu()
  expect(run.exitReason).toBe(VcpuExit.MMIO)
  return run.mmio.low
}

const READ = `${PROLOGUE}ld t1, 0(s0)\n${REPORT}${SPIN}`
const WRITE = `${PROLOGUE}li t1, 0x55\nsd t1, 0(s0)\n${REPORT}ld t1, 0(s0)\n${REPORT}${SPIN}`

test('lend: what the host wrote before the start the guest reads; the host reads no more', () => {
  const machine = machineWith(false)
  machine.write(machine.memFd, DATA, Uint8Array.of(0xaa))
  expect(machine.boot(READ)).toBe(0)
  expect(report(machine)).toBe(0xaa)
  expect(machine.read(machine.memFd, DATA, 1)).toBe(-Errno.EACCES)
  expect(machine.violations()).toEqual([])
})

test('share: what the host wrote before the start the guest reads; the host still reads it', () => {
  const machine = machineWith(true)
  machine.write(machine.memFd, DATA, Uint8Array.of(0xaa))
  expect(machine.boot(READ)).toBe(0)
  expect(report(machine)).toBe(0xaa)
  expect(machine.read(machine.memFd, DATA, 1)).toEqual(Uint8Array.of(0xaa))
  expect(machine.violations()).toEqual([])
})

test('lend: what the guest writes the host cannot read, and the guest reads it again', () => {
  const machine = machineWith(false)
  expect(machine.boot(WRITE)).toBe(0)
  expect(report(machine)).toBe(0x55)
  expect(machine.read(machine.memFd, DATA, 1)).toBe(-Errno.EACCES)
  expect(report(machine)).toBe(0x55)
})

test('share: what the guest writes the host sees', () => {
  const machine = machineWith(true)
  expect(machine.boot(WRITE)).toBe(0)
  expect(report(machine)).toBe(0x55)
  expect(machine.read(machine.memFd, DATA, 1)).toEqual(Uint8Array.of(0x55))
  expect(report(machine)).toBe(0x55)
})

test('a shared page that is unmapped is the host’s alone, as it was', () => {
  const machine = machineWith(true)
  machine.boot(WRITE)
  report(machine)
  const page = { fd: machine.memFd, gpa: RAM + DATA * PAGE, offset: DATA * PAGE, size: PAGE }
  const flags = RW | MemFlag.FORCE_SHARE | MemFlag.UNMAP
  expect(machine.mapMem(machine.vmFd, { ...page, flags })).toBe(0)
  expect(machine.read(machine.memFd, DATA, 1)).toEqual(Uint8Array.of(0x55))
  expect(machine.violations()).toEqual([])
})

test('lent memory that is reclaimed when the VM ends is the host’s again, and reads as zeroes', () => {
  const machine = machineWith(false)
  machine.boot(WRITE)
  report(machine)
  const pfn = machine.frame(DATA)
  if (pfn === null) throw new Error('the guest has no page')
  machine.run(machine.syscalls.close(machine.vcpuFd()))
  machine.run(machine.syscalls.close(machine.vmFd))
  expect(machine.read(machine.memFd, DATA, 8)).toEqual(new Uint8Array(8))
  expect(machine.frame(DATA)).toBe(null)
  expect(machine.host.reaches(pfn, true)).toBe(true)
  expect(machine.violations()).toEqual([])
})

test('while it is lent not even /dev/mem reaches it: SIGBUS', () => {
  const machine = machineWith(false)
  machine.boot(WRITE)
  report(machine)
  const fd = DevMem.open(machine.process)
  const peek = (): unknown => {
    const pfn = machine.frame(DATA)
    if (pfn === null) throw new Error('the guest has no page')
    const address = machine.mmap(fd, pfn)
    return machine.run(machine.syscalls.load(hva(address), 1))
  }
  expect(peek()).toEqual({ ok: false, signal: 'SIGBUS', code: 'BUS_OBJERR' })
  expect(machine.ioctl(machine.vmFd, Gunyah.VM_START)).toBe(0)
})
