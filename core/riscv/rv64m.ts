// M: multiplication and division (unprivileged specification 20240411, chapter 13). Division by zero gives all
// ones and the dividend as remainder; the one signed overflow gives the dividend and 0. `Expr` has that built in.

import { bits, type Instruction, MASK_FUNCT7, Opcode } from './instruction.ts'
import { type BinaryOp, binary, type Expr, rs1, rs2, sext32, zext32 } from './semantics.ts'

const doubleword = (name: BinaryOp, funct3: number): Instruction => ({
  name,
  extension: 'M',
  format: 'R',
  match: bits(Opcode.OP, funct3, 1),
  mask: MASK_FUNCT7,
  semantics: { kind: 'compute', rd: binary(name, rs1, rs2) },
})

const word = (name: string, funct3: number, op: BinaryOp, extend: (a: Expr) => Expr): Instruction => ({
  name,
  extension: 'M',
  format: 'R',
  match: bits(Opcode.OP_32, funct3, 1),
  mask: MASK_FUNCT7,
  semantics: { kind: 'compute', rd: sext32(binary(op, extend(rs1), extend(rs2))) },
})

export const rv64m: readonly Instruction[] = [
  doubleword('mul', 0),
  doubleword('mulh', 1),
  doubleword('mulhsu', 2),
  doubleword('mulhu', 3),
  doubleword('div', 4),
  doubleword('divu', 5),
  doubleword('rem', 6),
  doubleword('remu', 7),
  word('mulw', 0, 'mul', (a) => a),
  word('divw', 4, 'div', sext32),
  word('divuw', 5, 'divu', zext32),
  word('remw', 6, 'rem', sext32),
  word('remuw', 7, 'remu', zext32),
]
