// C: 16-bit instructions, each described by the one of 32 bits it stands for (unprivileged specification 20240411,
// chapter 27). Everything else about it (semantics, decoding, the trapped instruction) is the other's.
//
// The list is in order: the first whose match and mask fit is meant, so rows with fewer registers come first.

import { type Field, field, type OperandName, type Operands, readField } from './format.ts'

/** An operand of the full instruction: a constant, or a field, with the number that is added to it. */
type Source = number | { readonly field: Field; readonly plus: number }

/** A 16-bit instruction: a half word is this one when `(half & mask) === match`. */
export interface Compressed {
  readonly name: string
  readonly match: number
  readonly mask: number
  /** The full instruction's name. */
  readonly full: string
  readonly operands: Partial<Record<OperandName, Source>>
  /** Operands that may not be 0: reserved otherwise. */
  readonly nonzero: readonly OperandName[]
  /** Assembly operands; `sp` is written as it is. */
  readonly syntax: string
}

type Pieces = readonly (readonly [hi: number, lo: number, to: number])[]

const unsigned = (...pieces: Pieces): Source => ({ field: field(false, ...pieces), plus: 0 })
const signed = (...pieces: Pieces): Source => ({ field: field(true, ...pieces), plus: 0 })
/** Three bits name x8 to x15. */
const short = (lo: number): Source => ({ field: field(false, [lo + 2, lo, 0]), plus: 8 })

const SP = 2
const MASK_FUNCT3 = 0xe003
const upper = unsigned([11, 7, 0])
const lower = unsigned([6, 2, 0])
const shortUpper = short(7)
const shortLower = short(2)
const imm6 = signed([12, 12, 5], [6, 2, 0])
const shamt = unsigned([12, 12, 5], [6, 2, 0])
const offsetW = unsigned([5, 5, 6], [12, 10, 3], [6, 6, 2])
const offsetD = unsigned([6, 5, 6], [12, 10, 3])
const branchTarget = signed([12, 12, 8], [6, 5, 6], [2, 2, 5], [11, 10, 3], [4, 3, 1])
const jumpTarget = signed(
  [12, 12, 11],
  [8, 8, 10],
  [10, 9, 8],
  [6, 6, 7],
  [7, 7, 6],
  [2, 2, 5],
  [11, 11, 4],
  [5, 3, 1],
)

const row = (
  name: string,
  full: string,
  [match, mask]: readonly [number, number],
  syntax: string,
  operands: Compressed['operands'],
  nonzero: readonly OperandName[] = [],
): Compressed => ({ name: `c.${name}`, full, match, mask, syntax, operands, nonzero })

/** Quadrant (bits 1:0) and funct3 (bits 15:13). */
const at = (quadrant: number, funct3: number): readonly [number, number] => [
  (funct3 << 13) | quadrant,
  MASK_FUNCT3,
]

const load = (name: string, funct3: number, imm: Source, rd = 'rd'): Compressed =>
  row(name, name, at(0, funct3), `${rd}, imm(rs1)`, { rd: shortLower, rs1: shortUpper, imm })
const store = (name: string, funct3: number, imm: Source, rs2 = 'rs2'): Compressed =>
  row(name, name, at(0, funct3), `${rs2}, imm(rs1)`, { rs1: shortUpper, rs2: shortLower, imm })
const loadSp = (
  name: string,
  funct3: number,
  imm: Source,
  nonzero: readonly OperandName[],
  rd = 'rd',
): Compressed => row(`${name}sp`, name, at(2, funct3), `${rd}, imm(sp)`, { rd: upper, rs1: SP, imm }, nonzero)
const storeSp = (name: string, funct3: number, imm: Source, rs2 = 'rs2'): Compressed =>
  row(`${name}sp`, name, at(2, funct3), `${rs2}, imm(sp)`, { rs1: SP, rs2: lower, imm })
/** Shifts and andi: bits 11:10 say which. */
const immediate = (name: string, funct2: number, imm: Source): Compressed =>
  row(name, name, [0x8001 | (funct2 << 10), 0xec03], 'rd, imm', { rd: shortUpper, rs1: shortUpper, imm })
/** Register with register: bits 12 and 6:5 say which. */
const register = (name: string, word: 0 | 1, funct2: number): Compressed =>
  row(name, name, [0x8c01 | (word << 12) | (funct2 << 5), 0xfc63], 'rd, rs2', {
    rd: shortUpper,
    rs1: shortUpper,
    rs2: shortLower,
  })
const branch = (name: string, full: string, funct3: number): Compressed =>
  row(name, full, at(1, funct3), 'rs1, target', { rs1: shortUpper, rs2: 0, imm: branchTarget })

const offsetSpW = unsigned([3, 2, 6], [12, 12, 5], [6, 4, 2])
const offsetSpD = unsigned([4, 2, 6], [12, 12, 5], [6, 5, 3])
const offsetToSpW = unsigned([8, 7, 6], [12, 9, 2])
const offsetToSpD = unsigned([9, 7, 6], [12, 10, 3])

/** Those of C with D. */
export const rvc: readonly Compressed[] = [
  row(
    'addi4spn',
    'addi',
    at(0, 0),
    'rd, sp, imm',
    { rd: shortLower, rs1: SP, imm: unsigned([10, 7, 6], [12, 11, 4], [5, 5, 3], [6, 6, 2]) },
    ['imm'],
  ),
  load('fld', 1, offsetD, 'fd'),
  load('lw', 2, offsetW),
  load('ld', 3, offsetD),
  store('fsd', 5, offsetD, 'fs2'),
  store('sw', 6, offsetW),
  store('sd', 7, offsetD),

  row('addi', 'addi', at(1, 0), 'rd, imm', { rd: upper, rs1: upper, imm: imm6 }),
  row('addiw', 'addiw', at(1, 1), 'rd, imm', { rd: upper, rs1: upper, imm: imm6 }, ['rd']),
  row('li', 'addi', at(1, 2), 'rd, imm', { rd: upper, rs1: 0, imm: imm6 }),
  row(
    'addi16sp',
    'addi',
    [0x6101, 0xef83],
    'sp, imm',
    { rd: SP, rs1: SP, imm: signed([12, 12, 9], [4, 3, 7], [5, 5, 6], [2, 2, 5], [6, 6, 4]) },
    ['imm'],
  ),
  row('lui', 'lui', at(1, 3), 'rd, upper', { rd: upper, imm: signed([12, 12, 17], [6, 2, 12]) }, ['imm']),
  immediate('srli', 0, shamt),
  immediate('srai', 1, shamt),
  immediate('andi', 2, imm6),
  register('sub', 0, 0),
  register('xor', 0, 1),
  register('or', 0, 2),
  register('and', 0, 3),
  register('subw', 1, 0),
  register('addw', 1, 1),
  row('j', 'jal', at(1, 5), 'target', { rd: 0, imm: jumpTarget }),
  branch('beqz', 'beq', 6),
  branch('bnez', 'bne', 7),

  row('slli', 'slli', at(2, 0), 'rd, imm', { rd: upper, rs1: upper, imm: shamt }),
  loadSp('fld', 1, offsetSpD, [], 'fd'),
  loadSp('lw', 2, offsetSpW, ['rd']),
  loadSp('ld', 3, offsetSpD, ['rd']),
  row('jr', 'jalr', [0x8002, 0xf07f], 'rs1', { rd: 0, rs1: upper, imm: 0 }, ['rs1']),
  row('mv', 'add', [0x8002, 0xf003], 'rd, rs2', { rd: upper, rs1: 0, rs2: lower }, ['rs2']),
  row('ebreak', 'ebreak', [0x9002, 0xffff], '', {}),
  row('jalr', 'jalr', [0x9002, 0xf07f], 'rs1', { rd: 1, rs1: upper, imm: 0 }),
  row('add', 'add', [0x9002, 0xf003], 'rd, rs2', { rd: upper, rs1: upper, rs2: lower }),
  storeSp('fsd', 5, offsetToSpD, 'fs2'),
  storeSp('sw', 6, offsetToSpW),
  storeSp('sd', 7, offsetToSpD),
]

/** The full instruction's operands. */
export function compressedOperands({ operands }: Compressed, half: number): Operands {
  const values: Operands = {}
  for (const [name, source] of Object.entries(operands))
    values[name as OperandName] =
      typeof source === 'number' ? source : readField(half, source.field) + source.plus
  return values
}
