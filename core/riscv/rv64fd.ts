// F and D: floating point (unprivileged specification 20240411, chapters 20 and 21).

import { bits, type Instruction, MASK_FUNCT3, MASK_FUNCT7, MASK_UNARY, Opcode } from './instruction.ts'
import { binary, type FloatOp, imm, rs1 } from './semantics.ts'

/** funct7 and rs2; the rm field is an operand. */
const MASK_UNARY_ROUNDED = 0xfff0007f
const MASK_ROUNDED = 0xfe00007f
/** The format field below rs3. */
const MASK_FUSED = 0x0600007f

const widths = [
  { suffix: 's', other: 'd', extension: 'F', fmt: 0, bytes: 4, letter: 'w' },
  { suffix: 'd', other: 's', extension: 'D', fmt: 1, bytes: 8, letter: 'd' },
] as const

const integers = [
  ['w', 0],
  ['wu', 1],
  ['l', 2],
  ['lu', 3],
] as const

const fused = [
  ['fmadd', Opcode.MADD],
  ['fmsub', Opcode.MSUB],
  ['fnmsub', Opcode.NMSUB],
  ['fnmadd', Opcode.NMADD],
] as const

export const rv64fd: readonly Instruction[] = widths.flatMap(
  ({ suffix, other, extension, fmt, bytes, letter }): Instruction[] => {
    const row = (
      name: string,
      format: Instruction['format'],
      match: number,
      mask: number,
      semantics: Instruction['semantics'],
    ): Instruction => ({ name, extension, format, match, mask, semantics })
    const op = (funct5: number, funct3 = 0, rs2 = 0): number =>
      (bits(Opcode.OP_FP, funct3, (funct5 << 2) | fmt) | (rs2 << 20)) >>> 0
    const float = (of: FloatOp): Instruction['semantics'] => ({ kind: 'float', op: of, bytes })
    const rounded = (name: 'add' | 'sub' | 'mul' | 'div', funct5: number): Instruction =>
      row(`f${name}.${suffix}`, 'floatR', op(funct5), MASK_ROUNDED, float(name))
    const two = (name: FloatOp, funct5: number, funct3: number): Instruction =>
      row(`f${name}.${suffix}`, 'floatPlain', op(funct5, funct3), MASK_FUNCT7, float(name))
    const compared = (name: 'eq' | 'lt' | 'le', funct3: number): Instruction =>
      row(`f${name}.${suffix}`, 'floatCompare', op(0x14, funct3), MASK_FUNCT7, float(name))
    const address = binary('add', rs1, imm)
    return [
      row(`fl${letter}`, 'floatLoad', bits(Opcode.LOAD_FP, fmt + 2), MASK_FUNCT3, {
        kind: 'float-load',
        bytes,
        address,
      }),
      row(`fs${letter}`, 'floatStore', bits(Opcode.STORE_FP, fmt + 2), MASK_FUNCT3, {
        kind: 'float-store',
        bytes,
        address,
      }),
      ...fused.map(([name, opcode]) =>
        row(`${name}.${suffix}`, 'floatFused', bits(opcode, 0, fmt), MASK_FUSED, float(name)),
      ),
      rounded('add', 0x00),
      rounded('sub', 0x01),
      rounded('mul', 0x02),
      rounded('div', 0x03),
      row(`fsqrt.${suffix}`, 'floatUnary', op(0x0b), MASK_UNARY_ROUNDED, float('sqrt')),
      two('sgnj', 0x04, 0),
      two('sgnjn', 0x04, 1),
      two('sgnjx', 0x04, 2),
      two('min', 0x05, 0),
      two('max', 0x05, 1),
      row(
        `fcvt.${suffix}.${other}`,
        'floatUnary',
        op(0x08, 0, 1 - fmt),
        MASK_UNARY_ROUNDED,
        float('from-float'),
      ),
      compared('eq', 2),
      compared('lt', 1),
      compared('le', 0),
      row(`fclass.${suffix}`, 'floatToX', op(0x1c, 1), MASK_UNARY, float('class')),
      ...integers.map(([name, rs2]) =>
        row(
          `fcvt.${name}.${suffix}`,
          'floatToInteger',
          op(0x18, 0, rs2),
          MASK_UNARY_ROUNDED,
          float(`to-${name}`),
        ),
      ),
      ...integers.map(([name, rs2]) =>
        row(
          `fcvt.${suffix}.${name}`,
          'floatFromInteger',
          op(0x1a, 0, rs2),
          MASK_UNARY_ROUNDED,
          float(`from-${name}`),
        ),
      ),
      row(`fmv.x.${fmt ? 'd' : 'w'}`, 'floatToX', op(0x1c), MASK_UNARY, float('to-bits')),
      row(`fmv.${fmt ? 'd' : 'w'}.x`, 'floatFromX', op(0x1e), MASK_UNARY, float('from-bits')),
    ]
  },
)
