// One row of the ISA table, and the helpers that make writing rows short.

import type { FormatName } from './format.ts'
import type { Semantics } from './semantics.ts'

export type Extension =
  | 'I'
  | 'M'
  | 'A'
  | 'F'
  | 'D'
  | 'Zicsr'
  | 'Zifencei'
  | 'Zba'
  | 'Zbb'
  | 'Zbs'
  | 'Zicond'
  | 'Zicbom'
  | 'Zicboz'
  | 'Svinval'
  | 'S'

/** An instruction: a word is this one when `(word & mask) === match` (as unsigned 32-bit numbers). */
export interface Instruction {
  readonly name: string
  readonly extension: Extension
  readonly format: FormatName
  readonly match: number
  readonly mask: number
  readonly semantics: Semantics
}

/** Major opcodes, bits 6:0 (unprivileged specification 20240411, table 70). */
export const Opcode = {
  LOAD: 0x03,
  LOAD_FP: 0x07,
  MISC_MEM: 0x0f,
  OP_IMM: 0x13,
  AUIPC: 0x17,
  OP_IMM_32: 0x1b,
  STORE: 0x23,
  STORE_FP: 0x27,
  AMO: 0x2f,
  OP: 0x33,
  LUI: 0x37,
  OP_32: 0x3b,
  MADD: 0x43,
  MSUB: 0x47,
  NMSUB: 0x4b,
  NMADD: 0x4f,
  OP_FP: 0x53,
  BRANCH: 0x63,
  JALR: 0x67,
  JAL: 0x6f,
  SYSTEM: 0x73,
} as const

export const MASK_OPCODE = 0x7f
export const MASK_FUNCT3 = 0x707f
export const MASK_FUNCT7 = 0xfe00707f
/** funct6 above a shift amount of six bits. */
export const MASK_SHIFT64 = 0xfc00707f
/** rd and rs1 are the only operands. */
export const MASK_UNARY = 0xfff0707f

/** match bits of opcode, funct3 and funct7. */
export const bits = (opcode: number, funct3 = 0, funct7 = 0): number =>
  (opcode | (funct3 << 12) | (funct7 << 25)) >>> 0
