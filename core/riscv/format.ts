// Instruction formats: where each operand sits in the 32-bit word, and how assembly text writes it.
//
//   31      25 24  20 19  15 14  12 11       7 6      0
//  +----------+------+------+------+----------+--------+
//  |  funct7  | rs2  | rs1  |funct3|    rd    | opcode |  R
//  |     imm[11:0]   | rs1  |funct3|    rd    | opcode |  I
//  | imm[11:5]| rs2  | rs1  |funct3| imm[4:0] | opcode |  S
//  |imm[12|10:5] rs2 | rs1  |funct3|[4:1|11]  | opcode |  B
//  |           imm[31:12]          |    rd    | opcode |  U
//  |     imm[20|10:1|11|19:12]     |    rd    | opcode |  J
//  +----------+------+------+------+----------+--------+

/** Instruction bits hi..lo hold operand bits starting at `to`. */
export interface Piece {
  readonly hi: number
  readonly lo: number
  readonly to: number
}

/** An operand: its pieces, highest operand bits first. A signed one is extended from its top bit. */
export interface Field {
  readonly pieces: readonly Piece[]
  readonly signed: boolean
}

export type OperandName = 'rd' | 'rs1' | 'rs2' | 'rs3' | 'imm' | 'csr' | 'order' | 'rm'
/** Operand values: register numbers, the immediate as the semantics see it, CSR number, aq/rl bits, rounding mode. */
export type Operands = Partial<Record<OperandName, number>>

export interface Format {
  readonly fields: Partial<Record<OperandName, Field>>
  /** Assembly operands in order, `fd` for an rd that is floating-point; `order` is written as a mnemonic suffix instead. */
  readonly syntax: string
}

/** A field of pieces [hi, lo, to]. */
export const field = (
  signed: boolean,
  ...pieces: readonly (readonly [hi: number, lo: number, to: number])[]
): Field => ({
  signed,
  pieces: pieces.map(([hi, lo, to]) => ({ hi, lo, to })),
})

const rd = field(false, [11, 7, 0])
const rs1 = field(false, [19, 15, 0])
const rs2 = field(false, [24, 20, 0])
const rs3 = field(false, [31, 27, 0])
const rm = field(false, [14, 12, 0])
const immI = field(true, [31, 20, 0])
const immS = field(true, [31, 25, 5], [11, 7, 0])
const order = field(false, [26, 25, 0])
const csr = field(false, [31, 20, 0])

export const formats = {
  R: { fields: { rd, rs1, rs2 }, syntax: 'rd, rs1, rs2' },
  I: { fields: { rd, rs1, imm: immI }, syntax: 'rd, rs1, imm' },
  load: { fields: { rd, rs1, imm: immI }, syntax: 'rd, imm(rs1)' },
  S: { fields: { rs1, rs2, imm: immS }, syntax: 'rs2, imm(rs1)' },
  B: {
    fields: { rs1, rs2, imm: field(true, [31, 31, 12], [7, 7, 11], [30, 25, 5], [11, 8, 1]) },
    syntax: 'rs1, rs2, target',
  },
  U: { fields: { rd, imm: field(true, [31, 12, 12]) }, syntax: 'rd, upper' },
  J: {
    fields: { rd, imm: field(true, [31, 31, 20], [19, 12, 12], [20, 20, 11], [30, 21, 1]) },
    syntax: 'rd, target',
  },
  shift32: { fields: { rd, rs1, imm: field(false, [24, 20, 0]) }, syntax: 'rd, rs1, imm' },
  shift64: { fields: { rd, rs1, imm: field(false, [25, 20, 0]) }, syntax: 'rd, rs1, imm' },
  lr: { fields: { rd, rs1, order }, syntax: 'rd, (rs1)' },
  amo: { fields: { rd, rs1, rs2, order }, syntax: 'rd, rs2, (rs1)' },
  csr: { fields: { rd, rs1, csr }, syntax: 'rd, csr, rs1' },
  csrImm: { fields: { rd, imm: field(false, [19, 15, 0]), csr }, syntax: 'rd, csr, imm' },
  /** imm = fm, predecessor and successor sets, four bits each. */
  fence: { fields: { imm: field(false, [31, 20, 0]) }, syntax: 'imm' },
  fenceVma: { fields: { rs1, rs2 }, syntax: 'rs1, rs2' },
  unary: { fields: { rd, rs1 }, syntax: 'rd, rs1' },
  cbo: { fields: { rs1 }, syntax: '(rs1)' },
  floatLoad: { fields: { rd, rs1, imm: immI }, syntax: 'fd, imm(rs1)' },
  floatStore: { fields: { rs1, rs2, imm: immS }, syntax: 'fs2, imm(rs1)' },
  floatFused: { fields: { rd, rs1, rs2, rs3, rm }, syntax: 'fd, fs1, fs2, fs3, rm' },
  floatR: { fields: { rd, rs1, rs2, rm }, syntax: 'fd, fs1, fs2, rm' },
  floatPlain: { fields: { rd, rs1, rs2 }, syntax: 'fd, fs1, fs2' },
  floatCompare: { fields: { rd, rs1, rs2 }, syntax: 'rd, fs1, fs2' },
  floatUnary: { fields: { rd, rs1, rm }, syntax: 'fd, fs1, rm' },
  floatToInteger: { fields: { rd, rs1, rm }, syntax: 'rd, fs1, rm' },
  floatFromInteger: { fields: { rd, rs1, rm }, syntax: 'fd, rs1, rm' },
  floatToX: { fields: { rd, rs1 }, syntax: 'rd, fs1' },
  floatFromX: { fields: { rd, rs1 }, syntax: 'fd, rs1' },
  none: { fields: {}, syntax: '' },
} as const satisfies Record<string, Format>

/** The operand that a syntax name like `fs1` or `fd` stands for. */
export const floatOperand = (name: string): OperandName => `r${name.slice(1)}` as OperandName

export type FormatName = keyof typeof formats

/** An operand's value in an instruction word. */
export function readField(word: number, f: Field): number {
  let value = 0
  for (const { hi, lo, to } of f.pieces) value |= ((word >>> lo) & (2 ** (hi - lo + 1) - 1)) << to
  const top = topBit(f)
  return f.signed && top < 31 ? (value << (31 - top)) >> (31 - top) : value
}

/** The bits that put `value` in an instruction word. Throws RangeError when it does not fit. */
export function writeField(value: number, f: Field): number {
  let word = 0
  for (const { hi, lo, to } of f.pieces) word |= ((value >> to) & (2 ** (hi - lo + 1) - 1)) << lo
  if (readField(word, f) !== value) throw new RangeError(`operand ${value} does not fit its field`)
  return word
}

/** The highest operand bit a field can hold. */
export const topBit = (f: Field): number => Math.max(...f.pieces.map(({ hi, lo, to }) => to + hi - lo))
