// RV64I: the base integer instructions (unprivileged specification 20240411, chapters 2 and 4).

import {
  bits,
  type Instruction,
  MASK_FUNCT3,
  MASK_FUNCT7,
  MASK_OPCODE,
  MASK_SHIFT64,
  Opcode,
} from './instruction.ts'
import {
  type AccessBytes,
  type BinaryOp,
  binary,
  bool,
  type CompareOp,
  compare,
  constant,
  type Expr,
  imm,
  pc,
  rs1,
  rs2,
  type Semantics,
  sext32,
  zext32,
} from './semantics.ts'

const extension = 'I'

const compute = (rd: Expr): Semantics => ({ kind: 'compute', rd })

const immediate = (name: string, funct3: number, rd: Expr): Instruction => ({
  name,
  extension,
  format: 'I',
  match: bits(Opcode.OP_IMM, funct3),
  mask: MASK_FUNCT3,
  semantics: compute(rd),
})

const register = (name: string, funct3: number, funct7: number, rd: Expr): Instruction => ({
  name,
  extension,
  format: 'R',
  match: bits(Opcode.OP, funct3, funct7),
  mask: MASK_FUNCT7,
  semantics: compute(rd),
})

const word = (name: string, funct3: number, funct7: number, rd: Expr): Instruction => ({
  name,
  extension,
  format: 'R',
  match: bits(Opcode.OP_32, funct3, funct7),
  mask: MASK_FUNCT7,
  semantics: compute(sext32(rd)),
})

const shift = (name: string, funct3: number, funct7: number, op: BinaryOp): Instruction => ({
  name,
  extension,
  format: 'shift64',
  match: bits(Opcode.OP_IMM, funct3, funct7),
  mask: MASK_SHIFT64,
  semantics: compute(binary(op, rs1, imm)),
})

const shiftWord = (name: string, funct3: number, funct7: number, op: BinaryOp, a: Expr): Instruction => ({
  name,
  extension,
  format: 'shift32',
  match: bits(Opcode.OP_IMM_32, funct3, funct7),
  mask: MASK_FUNCT7,
  semantics: compute(sext32(binary(op, a, imm))),
})

const load = (name: string, funct3: number, bytes: AccessBytes, signed: boolean): Instruction => ({
  name,
  extension,
  format: 'load',
  match: bits(Opcode.LOAD, funct3),
  mask: MASK_FUNCT3,
  semantics: { kind: 'load', bytes, signed, address: binary('add', rs1, imm) },
})

const store = (name: string, funct3: number, bytes: AccessBytes): Instruction => ({
  name,
  extension,
  format: 'S',
  match: bits(Opcode.STORE, funct3),
  mask: MASK_FUNCT3,
  semantics: { kind: 'store', bytes, address: binary('add', rs1, imm), value: rs2 },
})

const branch = (name: string, funct3: number, op: CompareOp): Instruction => ({
  name,
  extension,
  format: 'B',
  match: bits(Opcode.BRANCH, funct3),
  mask: MASK_FUNCT3,
  semantics: { kind: 'branch', when: compare(op, rs1, rs2) },
})

const shamtWord = binary('and', rs2, constant(31))

export const rv64i: readonly Instruction[] = [
  {
    name: 'lui',
    extension,
    format: 'U',
    match: Opcode.LUI,
    mask: MASK_OPCODE,
    semantics: compute(imm),
  },
  {
    name: 'auipc',
    extension,
    format: 'U',
    match: Opcode.AUIPC,
    mask: MASK_OPCODE,
    semantics: compute(binary('add', pc, imm)),
  },
  {
    name: 'jal',
    extension,
    format: 'J',
    match: Opcode.JAL,
    mask: MASK_OPCODE,
    semantics: { kind: 'jump', target: binary('add', pc, imm) },
  },
  {
    name: 'jalr',
    extension,
    format: 'load',
    match: Opcode.JALR,
    mask: MASK_FUNCT3,
    semantics: { kind: 'jump', target: binary('and', binary('add', rs1, imm), constant(-2)) },
  },
  branch('beq', 0, 'eq'),
  branch('bne', 1, 'ne'),
  branch('blt', 4, 'lt'),
  branch('bge', 5, 'ge'),
  branch('bltu', 6, 'ltu'),
  branch('bgeu', 7, 'geu'),
  load('lb', 0, 1, true),
  load('lh', 1, 2, true),
  load('lw', 2, 4, true),
  load('ld', 3, 8, true),
  load('lbu', 4, 1, false),
  load('lhu', 5, 2, false),
  load('lwu', 6, 4, false),
  store('sb', 0, 1),
  store('sh', 1, 2),
  store('sw', 2, 4),
  store('sd', 3, 8),
  immediate('addi', 0, binary('add', rs1, imm)),
  immediate('slti', 2, bool(compare('lt', rs1, imm))),
  immediate('sltiu', 3, bool(compare('ltu', rs1, imm))),
  immediate('xori', 4, binary('xor', rs1, imm)),
  immediate('ori', 6, binary('or', rs1, imm)),
  immediate('andi', 7, binary('and', rs1, imm)),
  shift('slli', 1, 0x00, 'sll'),
  shift('srli', 5, 0x00, 'srl'),
  shift('srai', 5, 0x20, 'sra'),
  register('add', 0, 0x00, binary('add', rs1, rs2)),
  register('sub', 0, 0x20, binary('sub', rs1, rs2)),
  register('sll', 1, 0x00, binary('sll', rs1, rs2)),
  register('slt', 2, 0x00, bool(compare('lt', rs1, rs2))),
  register('sltu', 3, 0x00, bool(compare('ltu', rs1, rs2))),
  register('xor', 4, 0x00, binary('xor', rs1, rs2)),
  register('srl', 5, 0x00, binary('srl', rs1, rs2)),
  register('sra', 5, 0x20, binary('sra', rs1, rs2)),
  register('or', 6, 0x00, binary('or', rs1, rs2)),
  register('and', 7, 0x00, binary('and', rs1, rs2)),
  {
    name: 'addiw',
    extension,
    format: 'I',
    match: bits(Opcode.OP_IMM_32),
    mask: MASK_FUNCT3,
    semantics: compute(sext32(binary('add', rs1, imm))),
  },
  shiftWord('slliw', 1, 0x00, 'sll', rs1),
  shiftWord('srliw', 5, 0x00, 'srl', zext32(rs1)),
  shiftWord('sraiw', 5, 0x20, 'sra', sext32(rs1)),
  word('addw', 0, 0x00, binary('add', rs1, rs2)),
  word('subw', 0, 0x20, binary('sub', rs1, rs2)),
  word('sllw', 1, 0x00, binary('sll', rs1, shamtWord)),
  word('srlw', 5, 0x00, binary('srl', zext32(rs1), shamtWord)),
  word('sraw', 5, 0x20, binary('sra', sext32(rs1), shamtWord)),
  {
    name: 'fence',
    extension,
    format: 'fence',
    match: bits(Opcode.MISC_MEM, 0),
    mask: MASK_FUNCT3,
    semantics: { kind: 'fence' },
  },
  {
    name: 'ecall',
    extension,
    format: 'none',
    match: 0x00000073,
    mask: 0xffffffff,
    semantics: { kind: 'ecall' },
  },
  {
    name: 'ebreak',
    extension,
    format: 'none',
    match: 0x00100073,
    mask: 0xffffffff,
    semantics: { kind: 'ebreak' },
  },
]
