// Random RV64IMA programs that end by themselves: straight lines with short forward jumps over a data area.
//
// x31 points to the middle of the data area and x30 is scratch for addresses, so neither is ever a destination of a
// random instruction. After the stream all registers are stored behind the data, then ecall.

import { asm, assemble } from '../../riscv/asm.ts'
import { isa } from '../../riscv/isa.ts'

/** Code starts here, in the test machine and in an ELF file alike. */
export const CODE = 0x80000000
/** x31; accesses reach 2048 bytes down and 2047 + 7 up. */
export const DATA_BASE = 0x80020000
export const DATA_START = DATA_BASE - 2048
/** Registers x0..x31 are stored here, 8 bytes each. */
export const DUMP = DATA_BASE + 2064
/** Bytes from DATA_START that describe the outcome. */
export const OUTCOME_BYTES = DUMP + 32 * 8 - DATA_START

/** mulberry32: a small seeded generator of 32-bit numbers. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
}

const named = (test: (kind: string, name: string) => boolean): string[] =>
  isa.filter(({ name, semantics }) => test(semantics.kind, name)).map(({ name }) => name)
const arithmetic = isa.filter(({ semantics }) => semantics.kind === 'compute')
const loads = named((kind) => kind === 'load')
const stores = named((kind) => kind === 'store')
const branches = named((kind) => kind === 'branch')
const atomics = named((kind) => kind === 'amo' || kind === 'lr' || kind === 'sc')

/** Values at which arithmetic has its corners. */
export const CORNERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
]

/** The words of a program of about `length` random instructions. */
export function randomProgram(seed: number, length: number): Uint32Array<ArrayBuffer> {
  const random = generator(seed)
  const below = (n: number): number => random() % n
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]
  const value = (): bigint =>
    below(2) ? pick(CORNERS) : ((BigInt(random()) << 32n) | BigInt(random())) >> BigInt(below(64))
  const source = (): number => below(32)
  const destination = (): number => below(30)
  const signed = (bits: number): number => below(2 ** bits) - 2 ** (bits - 1)

  const setup = [`li x31, ${DATA_BASE}`, 'li x30, 0']
  for (let register = 1; register < 30; register++) setup.push(`li x${register}, ${value()}`)
  for (let offset = -2048; offset < 2048; offset += 128)
    setup.push(`sd x${1 + below(29)}, ${offset + below(15) * 8}(x31)`)
  const words = [...assemble(setup.join('\n'), CODE)]

  const one = (): number[] => {
    const kind = below(20)
    if (kind < 10) {
      const { name, format } = pick(arithmetic)
      if (format === 'R') return [asm(name, { rd: destination(), rs1: source(), rs2: source() })]
      if (format === 'U') return [asm(name, { rd: destination(), imm: (random() & 0xfffff000) | 0 })]
      const imm = format === 'I' ? signed(12) : below(format === 'shift32' ? 32 : 64)
      return [asm(name, { rd: destination(), rs1: source(), imm })]
    }
    // Constants keep the registers from drifting to zeroes and ones.
    if (kind < 12) return [...assemble(`li x${1 + below(29)}, ${value()}`)]
    if (kind < 14) return [asm(pick(loads), { rd: destination(), rs1: 31, imm: signed(12) })]
    if (kind < 16) return [asm(pick(stores), { rs1: 31, rs2: source(), imm: signed(12) })]
    if (kind < 18) {
      const name = pick(atomics)
      const address = asm('addi', { rd: 30, rs1: 31, imm: (below(64) - 32) * 8 })
      const operands = { rd: destination(), rs1: 30, order: below(4) }
      if (!name.startsWith('lr')) return [address, asm(name, { ...operands, rs2: source() })]
      // Half of the reservations are used, the others lost to an sc elsewhere: what an sc of the other width makes
      // of one is an implementation's choice.
      const conditional = asm(name.replace('lr', 'sc'), { ...operands, rd: destination(), rs2: source() })
      const elsewhere = below(2) ? [asm('addi', { rd: 30, rs1: 30, imm: 8 })] : []
      return [address, asm(name, operands), ...elsewhere, conditional]
    }
    const skipped = Array.from({ length: 1 + below(3) }, () =>
      asm('addi', { rd: destination(), imm: signed(12) }),
    )
    const imm = 4 * (skipped.length + 1)
    if (kind === 18) return [asm(pick(branches), { rs1: source(), rs2: source(), imm }), ...skipped]
    if (below(2)) return [asm('jal', { rd: destination(), imm }), ...skipped]
    const target = asm('auipc', { rd: 30, imm: 0 })
    // Bit 0 of the target is dropped.
    const jump = asm('jalr', { rd: destination(), rs1: 30, imm: 4 + imm + below(2) })
    return [target, jump, ...skipped]
  }
  while (words.length < length) words.push(...one())

  // x31 keeps its value until the dump is done with it.
  words.push(asm('addi', { rd: 30, rs1: 31, imm: 2040 }), asm('addi', { rd: 30, rs1: 30, imm: 24 }))
  for (let register = 0; register < 32; register++)
    words.push(asm('sd', { rs1: 30, rs2: register, imm: register * 8 }))
  // write(1, DATA_START, OUTCOME_BYTES); exit(0)
  words.push(
    ...assemble(
      `li a0, 1\nli a1, ${DATA_START}\nli a2, ${OUTCOME_BYTES}\nli a7, 64\necall\nli a0, 0\nli a7, 93\necall`,
    ),
  )
  return Uint32Array.from(words)
}

/** FNV-1a, 64 bits, in hexadecimal. */
export function fnv(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
