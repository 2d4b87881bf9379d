// Zba, Zbb and Zbs: addresses, bits and single bits (unprivileged specification 20240411, chapter 28); Zicond
// (chapter 13).

import {
  bits,
  type Extension,
  type Instruction,
  MASK_FUNCT7,
  MASK_SHIFT64,
  MASK_UNARY,
  Opcode,
} from './instruction.ts'
import {
  binary,
  compare,
  constant,
  type Expr,
  imm,
  rs1,
  rs2,
  select,
  sext32,
  unary,
  zext32,
} from './semantics.ts'

const compute = (rd: Expr): Instruction['semantics'] => ({ kind: 'compute', rd })

const register =
  (extension: Extension, opcode: number) =>
  (name: string, funct7: number, funct3: number, rd: Expr): Instruction => ({
    name,
    extension,
    format: 'R',
    match: bits(opcode, funct3, funct7),
    mask: MASK_FUNCT7,
    semantics: compute(rd),
  })

/** A shift amount or bit number of six bits below funct6. */
const immediate = (
  extension: Extension,
  name: string,
  funct6: number,
  funct3: number,
  rd: Expr,
  opcode: number = Opcode.OP_IMM,
): Instruction => ({
  name,
  extension,
  format: 'shift64',
  match: bits(opcode, funct3, funct6 << 1),
  mask: MASK_SHIFT64,
  semantics: compute(rd),
})

/** One operand; bits 31:20 say which. */
const single = (name: string, funct12: number, funct3: number, rd: Expr, opcode: number): Instruction => ({
  name,
  extension: 'Zbb',
  format: 'unary',
  match: (bits(opcode, funct3) | (funct12 << 20)) >>> 0,
  mask: MASK_UNARY,
  semantics: compute(rd),
})

const not = (a: Expr): Expr => binary('xor', a, constant(-1))
const shifted = (a: Expr, by: number): Expr => binary('add', binary('sll', a, constant(by)), rs2)
const extended = (by: number): Expr => binary('sra', binary('sll', rs1, constant(by)), constant(by))
const oneAt = (index: Expr): Expr => binary('sll', constant(1), index)
const low5 = (a: Expr): Expr => binary('and', a, constant(31))
const rest = (a: Expr): Expr => binary('sub', constant(32), low5(a))
const word = zext32(rs1)
const rotateWordRight = (by: Expr): Expr =>
  sext32(binary('or', binary('srl', word, low5(by)), binary('sll', word, rest(by))))

const zba = register('Zba', Opcode.OP)
const zbaWord = register('Zba', Opcode.OP_32)
const zbb = register('Zbb', Opcode.OP)
const zbbWord = register('Zbb', Opcode.OP_32)
const zbs = register('Zbs', Opcode.OP)
const zicond = register('Zicond', Opcode.OP)

export const zb: readonly Instruction[] = [
  zba('sh1add', 0x10, 2, shifted(rs1, 1)),
  zba('sh2add', 0x10, 4, shifted(rs1, 2)),
  zba('sh3add', 0x10, 6, shifted(rs1, 3)),
  zbaWord('add.uw', 0x04, 0, binary('add', word, rs2)),
  zbaWord('sh1add.uw', 0x10, 2, shifted(word, 1)),
  zbaWord('sh2add.uw', 0x10, 4, shifted(word, 2)),
  zbaWord('sh3add.uw', 0x10, 6, shifted(word, 3)),
  immediate('Zba', 'slli.uw', 0x02, 1, binary('sll', word, imm), Opcode.OP_IMM_32),

  zbb('andn', 0x20, 7, binary('and', rs1, not(rs2))),
  zbb('orn', 0x20, 6, binary('or', rs1, not(rs2))),
  zbb('xnor', 0x20, 4, not(binary('xor', rs1, rs2))),
  single('clz', 0x600, 1, unary('clz', rs1), Opcode.OP_IMM),
  single('ctz', 0x601, 1, unary('ctz', rs1), Opcode.OP_IMM),
  single('cpop', 0x602, 1, unary('cpop', rs1), Opcode.OP_IMM),
  single('sext.b', 0x604, 1, extended(56), Opcode.OP_IMM),
  single('sext.h', 0x605, 1, extended(48), Opcode.OP_IMM),
  single('clzw', 0x600, 1, binary('sub', unary('clz', word), constant(32)), Opcode.OP_IMM_32),
  single('ctzw', 0x601, 1, unary('ctz', binary('or', rs1, constant(2 ** 32))), Opcode.OP_IMM_32),
  single('cpopw', 0x602, 1, unary('cpop', word), Opcode.OP_IMM_32),
  single('zext.h', 0x080, 4, binary('and', rs1, constant(0xffff)), Opcode.OP_32),
  single('orc.b', 0x287, 5, unary('orc.b', rs1), Opcode.OP_IMM),
  single('rev8', 0x6b8, 5, unary('rev8', rs1), Opcode.OP_IMM),
  zbb('min', 0x05, 4, select(compare('lt', rs1, rs2), rs1, rs2)),
  zbb('minu', 0x05, 5, select(compare('ltu', rs1, rs2), rs1, rs2)),
  zbb('max', 0x05, 6, select(compare('lt', rs1, rs2), rs2, rs1)),
  zbb('maxu', 0x05, 7, select(compare('ltu', rs1, rs2), rs2, rs1)),
  zbb('rol', 0x30, 1, binary('rol', rs1, rs2)),
  zbb('ror', 0x30, 5, binary('ror', rs1, rs2)),
  immediate('Zbb', 'rori', 0x18, 5, binary('ror', rs1, imm)),
  zbbWord('rolw', 0x30, 1, rotateWordRight(rest(rs2))),
  zbbWord('rorw', 0x30, 5, rotateWordRight(rs2)),
  {
    name: 'roriw',
    extension: 'Zbb',
    format: 'shift32',
    match: bits(Opcode.OP_IMM_32, 5, 0x30),
    mask: MASK_FUNCT7,
    semantics: compute(rotateWordRight(imm)),
  },

  zbs('bclr', 0x24, 1, binary('and', rs1, not(oneAt(rs2)))),
  zbs('bext', 0x24, 5, binary('and', binary('srl', rs1, rs2), constant(1))),
  zbs('binv', 0x34, 1, binary('xor', rs1, oneAt(rs2))),
  zbs('bset', 0x14, 1, binary('or', rs1, oneAt(rs2))),
  immediate('Zbs', 'bclri', 0x12, 1, binary('and', rs1, not(oneAt(imm)))),
  immediate('Zbs', 'bexti', 0x12, 5, binary('and', binary('srl', rs1, imm), constant(1))),
  immediate('Zbs', 'binvi', 0x1a, 1, binary('xor', rs1, oneAt(imm))),
  immediate('Zbs', 'bseti', 0x0a, 1, binary('or', rs1, oneAt(imm))),

  zicond('czero.eqz', 0x07, 5, select(compare('eq', rs2, constant(0)), constant(0), rs1)),
  zicond('czero.nez', 0x07, 7, select(compare('ne', rs2, constant(0)), constant(0), rs1)),
]
