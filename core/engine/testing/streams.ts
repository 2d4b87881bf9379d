// What random programs are made of: classes of instructions, each of which adds a few at a time. Another extension's
// streams are another class here, and its name in `streams`.

import { asm, assemble, parcelBytes } from '../../riscv/asm.ts'
import { compressed, decodeCompressed } from '../../riscv/compressed.ts'
import { instructionNamed, isa } from '../../riscv/isa.ts'
import { type Compressed, compressedOperands } from '../../riscv/rvc.ts'

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

/** Random choices. x31 points into the data and x30 is for addresses: no destination is either of them. */
export class Choice {
  readonly random: () => number

  constructor(seed: number) {
    this.random = generator(seed)
  }

  below(n: number): number {
    return this.random() % n
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }
  /** A 64-bit value, half of them corners. */
  value(): bigint {
    return this.below(2)
      ? this.pick(CORNERS)
      : ((BigInt(this.random()) << 32n) | BigInt(this.random())) >> BigInt(this.below(64))
  }
  source(): number {
    return this.below(32)
  }
  destination(): number {
    return this.below(30)
  }
  signed(bits: number): number {
    return this.below(2 ** bits) - 2 ** (bits - 1)
  }
}

/** A class of instructions. Instructions of 16 bits are told by their two low bits. */
export interface InstructionClass {
  /** How often it is chosen, against the other classes of a stream. */
  readonly weight: number
  /** One or a few instructions that belong together. */
  one(choice: Choice): number[]
  /** Assembly that runs first, after the integer registers have their values. */
  setup?(choice: Choice): string[]
  /** Instructions that run last: they put the class's own state into the data area, at x31 - 2048 or above. */
  finish?(): number[]
}

const named = (test: (kind: string, name: string) => boolean): string[] =>
  isa.filter(({ name, semantics }) => test(semantics.kind, name)).map(({ name }) => name)
const arithmeticNames = isa.filter(
  ({ semantics, extension }) => semantics.kind === 'compute' && ['I', 'M'].includes(extension),
)
const loadNames = named((kind) => kind === 'load')
const storeNames = named((kind) => kind === 'store')
const branchNames = named((kind) => kind === 'branch')
const atomicNames = named((kind) => kind === 'amo' || kind === 'lr' || kind === 'sc')

/** Bytes of instructions. */
export const bytesOf = (parcels: readonly number[]): number =>
  parcels.reduce((sum, parcel) => sum + parcelBytes(parcel), 0)

/** An instruction of the table with registers and immediate at random. */
function computed({ name, format }: (typeof isa)[number], choice: Choice): number {
  const [rd, rs1] = [choice.destination(), choice.source()]
  if (format === 'R') return asm(name, { rd, rs1, rs2: choice.source() })
  if (format === 'unary') return asm(name, { rd, rs1 })
  if (format === 'U') return asm(name, { rd, imm: (choice.random() & 0xfffff000) | 0 })
  if (format === 'I') return asm(name, { rd, rs1, imm: choice.signed(12) })
  return asm(name, { rd, rs1, imm: choice.below(format === 'shift32' ? 32 : 64) })
}

const arithmetic: InstructionClass = {
  weight: 10,
  one: (choice) => [computed(choice.pick(arithmeticNames), choice)],
}

/** Constants keep the registers from drifting to zeroes and ones. */
const constants: InstructionClass = {
  weight: 2,
  one: (choice) => [...assemble(`li x${1 + choice.below(29)}, ${choice.value()}`)],
}

const memory: InstructionClass = {
  weight: 4,
  one: (choice) =>
    choice.below(2)
      ? [asm(choice.pick(loadNames), { rd: choice.destination(), rs1: 31, imm: choice.signed(12) })]
      : [asm(choice.pick(storeNames), { rs1: 31, rs2: choice.source(), imm: choice.signed(12) })],
}

const atomics: InstructionClass = {
  weight: 2,
  one: (choice) => {
    const name = choice.pick(atomicNames)
    const address = asm('addi', { rd: 30, rs1: 31, imm: (choice.below(64) - 32) * 8 })
    const operands = { rd: choice.destination(), rs1: 30, order: choice.below(4) }
    if (!name.startsWith('lr')) return [address, asm(name, { ...operands, rs2: choice.source() })]
    // Half of the reservations are used, the others lost to an sc elsewhere: what an sc of the other width makes
    // of one is an implementation's choice.
    const conditional = asm(name.replace('lr', 'sc'), {
      ...operands,
      rd: choice.destination(),
      rs2: choice.source(),
    })
    const elsewhere = choice.below(2) ? [asm('addi', { rd: 30, rs1: 30, imm: 8 })] : []
    return [address, asm(name, operands), ...elsewhere, conditional]
  },
}

/** Short forward jumps over what they skip. */
const jumps: InstructionClass = {
  weight: 2,
  one: (choice) => {
    const skipped = Array.from({ length: 1 + choice.below(3) }, () =>
      asm('addi', { rd: choice.destination(), imm: choice.signed(12) }),
    )
    const imm = 4 + bytesOf(skipped)
    if (choice.below(2))
      return [asm(choice.pick(branchNames), { rs1: choice.source(), rs2: choice.source(), imm }), ...skipped]
    if (choice.below(2)) return [asm('jal', { rd: choice.destination(), imm }), ...skipped]
    const target = asm('auipc', { rd: 30, imm: 0 })
    // Bit 0 of the target is dropped.
    const jump = asm('jalr', { rd: choice.destination(), rs1: 30, imm: 4 + imm + choice.below(2) })
    return [target, jump, ...skipped]
  },
}

const ofKind = (...kinds: readonly string[]): readonly Compressed[] =>
  compressed.filter(({ full }) => kinds.includes(instructionNamed(full)?.semantics.kind ?? ''))
const shortArithmetic = ofKind('compute')
const shortMemory = ofKind('load', 'store')
const shortBranches = ofKind('branch')

/** A 16-bit instruction of that row with any operands but the reserved destinations. */
function short(row: Compressed, choice: Choice): number {
  for (;;) {
    const half = (choice.below(0x10000) & ~row.mask) | row.match
    if (decodeCompressed(half) === row && (compressedOperands(row, half).rd ?? 0) < 30) return half
  }
}

/** 16-bit instructions, so that those of 32 bits come to lie at any half word, across pages too. */
const shortInstructions: InstructionClass = {
  weight: 20,
  one: (choice) => {
    const kind = choice.below(10)
    if (kind < 6) return [short(choice.pick(shortArithmetic), choice)]
    if (kind < 8) {
      const row = choice.pick(shortMemory)
      const half = short(row, choice)
      const { rs1 = 0 } = compressedOperands(row, half)
      return [asm('c.mv', { rd: rs1, rs2: 31 }), half]
    }
    const skipped = Array.from({ length: 1 + choice.below(3) }, () =>
      short(choice.pick(shortArithmetic), choice),
    )
    const imm = 2 + bytesOf(skipped)
    if (kind === 8)
      return choice.below(2)
        ? [asm('c.j', { imm }), ...skipped]
        : [asm(choice.pick(shortBranches).name, { rs1: 8 + choice.below(8), imm }), ...skipped]
    return [
      asm('auipc', { rd: 30, imm: 0 }),
      asm('addi', { rd: 30, rs1: 30, imm: 8 + imm }),
      asm(choice.pick(['c.jr', 'c.jalr']), { rs1: 30 }),
      ...skipped,
    ]
  },
}

/** Without ctzw: QEMU before 8.0 counts past bit 31 when the low word is 0. */
const bitNames = isa.filter(
  ({ name, extension }) => ['Zba', 'Zbb', 'Zbs'].includes(extension) && name !== 'ctzw',
)
const bitInstructions: InstructionClass = {
  weight: 20,
  one: (choice) => [computed(choice.pick(bitNames), choice)],
}

/** Patterns at which floating-point arithmetic has its corners, by sign and width. */
const FLOAT_CORNERS: Readonly<Record<4 | 8, readonly bigint[]>> = {
  4: [
    0n,
    1n,
    0x7fffffn,
    0x800000n,
    0x800001n,
    0x3f800000n,
    0x3f800001n,
    0x3f7fffffn,
    0x4b000001n,
    0x4f000000n,
    0x5f000000n,
    0x7f7fffffn,
    0x7f800000n,
    0x7f800001n,
    0x7fc00000n,
    0x33800000n,
    0x34000001n,
  ],
  8: [
    0n,
    1n,
    0xfffffffffffffn,
    0x10000000000000n,
    0x10000000000001n,
    0x3ff0000000000000n,
    0x3ff0000000000001n,
    0x3fefffffffffffffn,
    0x4330000000000001n,
    0x41dfffffffc00000n,
    0x43e0000000000000n,
    0x7fefffffffffffffn,
    0x7ff0000000000000n,
    0x7ff0000000000001n,
    0x7ff8000000000000n,
    0x3ca0000000000000n,
    0x36a0000000000000n,
    0x380fffffffffffffn,
  ],
}

/** What a floating-point register is given: corners of both signs and widths, values close to one, anything. */
function floatPattern(choice: Choice): bigint {
  const bytes = choice.pick([4, 8] as const)
  const bits = bytes * 8
  const any = (BigInt(choice.random()) << 32n) | BigInt(choice.random())
  const near =
    bytes === 4 ? 0x3f000000n + (any & 0x1ffffffn) : 0x3fd0000000000000n + (any & 0x3fffffffffffffn)
  const kind = choice.below(4)
  const magnitude =
    kind < 2 ? choice.pick(FLOAT_CORNERS[bytes]) : kind === 2 ? near : BigInt.asUintN(bits - 1, any)
  const value = magnitude | (BigInt(choice.below(2)) << BigInt(bits - 1))
  // One in sixteen is not boxed.
  return bytes === 8 || choice.below(16) === 0 ? value : 0xffffffff00000000n | value
}

const setFloat = (register: number, value: bigint): string[] => [
  `li x30, ${value}`,
  `fmv.d.x f${register}, x30`,
]

const floatRows = isa.filter(({ extension }) => extension === 'F' || extension === 'D')

/** Every row of F and D, every rounding mode, and new operands before results drift to NaN. */
const floats: InstructionClass = {
  weight: 30,
  setup: (choice) =>
    Array.from({ length: 32 }, (_, register) => setFloat(register, floatPattern(choice))).flat(),
  one: (choice) => {
    if (choice.below(3) === 0)
      return [...assemble(setFloat(choice.below(32), floatPattern(choice)).join('\n'))]
    // The reserved modes are not the guest's to have: 5 and 6 are illegal, and not what is compared here.
    if (choice.below(8) === 0)
      return [asm('csrrwi', { rd: choice.destination(), imm: choice.below(5), csr: 2 })]
    if (choice.below(8) === 0)
      return [asm('csrrwi', { rd: choice.destination(), imm: choice.below(32), csr: 1 })]
    const { name, semantics } = choice.pick(floatRows)
    const [rd, rs1] = [choice.destination(), choice.source()]
    if (semantics.kind === 'float-load') return [asm(name, { rd, rs1: 31, imm: choice.signed(12) })]
    if (semantics.kind === 'float-store')
      return [asm(name, { rs2: choice.source(), rs1: 31, imm: choice.signed(12) })]
    const rm = choice.below(3) ? 7 : choice.below(5)
    return [asm(name, { rd, rs1, rs2: choice.source(), rs3: choice.source(), rm })]
  },
  finish: () => [
    ...Array.from({ length: 32 }, (_, rs2) => asm('fsd', { rs2, rs1: 31, imm: -2048 + rs2 * 8 })),
    ...assemble('csrr x30, fcsr\nsd x30, -1792(x31)'),
  ],
}

const base: readonly InstructionClass[] = [arithmetic, constants, memory, atomics, jumps]

/** The kinds of streams that are compared; each has recorded outcomes in qemu-outcomes.json. */
export const streams = {
  /** RV64IMA, which the model in BigInt knows too. */
  base,
  compressed: [...base, shortInstructions],
  bits: [...base, bitInstructions],
  float: [...base, floats],
} satisfies Record<string, readonly InstructionClass[]>

export type StreamName = keyof typeof streams
