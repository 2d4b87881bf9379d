// The float unit: what F and D instructions compute, on a vCPU block, called from the interpreter.
//
// Every operation is softfloat's, exact in mode and flags. Where rounding is to nearest and NX is raised already, which
// it is after a program's first inexact operation, JavaScript's own arithmetic gives the same: no other flag can come
// of a result well inside the normal range.

import { Sstatus } from '../riscv/csr.ts'
import { decode } from '../riscv/decode.ts'
import type { FloatOp, Semantics } from '../riscv/semantics.ts'
import {
  add,
  canonicalNan,
  classify,
  compareFloats,
  convertFormat,
  divide,
  extremum,
  F32,
  F64,
  FloatFlag,
  type FloatFormat,
  type FloatResult,
  fromInteger,
  multiply,
  multiplyAdd,
  negate,
  Rounding,
  squareRoot,
  subtract,
  toInteger,
} from '../riscv/softfloat.ts'
import { Vcpu } from './vcpu-block.ts'

const NAN_BOX = 0xffffffff00000000n
const DYNAMIC = 7
/** Far enough from the smallest normal numbers for tininess, and from what overflows. */
const SAFE_F64 = 2 ** -1020
const SAFE_F32 = 2 ** -124

type Float = Extract<Semantics, { kind: 'float' }>

const semanticsOf = (word: number): Float => {
  const semantics = decode(word)?.semantics
  if (semantics?.kind !== 'float') throw new TypeError(`not a float instruction: ${word.toString(16)}`)
  return semantics
}

/** Their funct3 is no rounding mode. */
const unrounded: ReadonlySet<FloatOp> = new Set<FloatOp>([
  'sgnj',
  'sgnjn',
  'sgnjx',
  'min',
  'max',
  'eq',
  'lt',
  'le',
  'class',
  'to-bits',
  'from-bits',
])
const toX: ReadonlySet<FloatOp> = new Set<FloatOp>([
  'eq',
  'lt',
  'le',
  'class',
  'to-bits',
  'to-w',
  'to-wu',
  'to-l',
  'to-lu',
])
const native: Partial<Record<FloatOp, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  sqrt: (a) => Math.sqrt(a),
}

/** The operands of one instruction: patterns of its format, and of the integer register rs1. */
interface Operands {
  readonly a: bigint
  readonly b: bigint
  readonly c: bigint
  readonly x: bigint
}

function compute(op: FloatOp, format: FloatFormat, { a, b, c, x }: Operands, rounding: number): FloatResult {
  const sign = 1n << BigInt(format.bits - 1)
  const exact = (value: bigint): FloatResult => ({ value, flags: 0 })
  switch (op) {
    case 'add':
      return add(format, a, b, rounding)
    case 'sub':
      return subtract(format, a, b, rounding)
    case 'mul':
      return multiply(format, a, b, rounding)
    case 'div':
      return divide(format, a, b, rounding)
    case 'sqrt':
      return squareRoot(format, a, rounding)
    case 'fmadd':
      return multiplyAdd(format, a, b, c, rounding)
    case 'fmsub':
      return multiplyAdd(format, a, b, negate(format, c), rounding)
    case 'fnmsub':
      return multiplyAdd(format, negate(format, a), b, c, rounding)
    case 'fnmadd':
      return multiplyAdd(format, negate(format, a), b, negate(format, c), rounding)
    case 'sgnj':
      return exact((a & ~sign) | (b & sign))
    case 'sgnjn':
      return exact((a & ~sign) | (~b & sign))
    case 'sgnjx':
      return exact(a ^ (b & sign))
    case 'min':
    case 'max':
      return extremum(format, a, b, op === 'max')
    case 'eq':
      return compareFloats(format, a, b, (order) => order === 0, true)
    case 'lt':
      return compareFloats(format, a, b, (order) => order < 0, false)
    case 'le':
      return compareFloats(format, a, b, (order) => order <= 0, false)
    case 'class':
      return exact(classify(format, a))
    case 'from-float':
      return convertFormat(format === F32 ? F64 : F32, format, a, rounding)
    case 'to-bits':
      return exact(a)
    case 'from-bits':
      return exact(x)
    case 'to-w':
      return toInteger(format, a, 32, true, rounding)
    case 'to-wu':
      return toInteger(format, a, 32, false, rounding)
    case 'to-l':
      return toInteger(format, a, 64, true, rounding)
    case 'to-lu':
      return toInteger(format, a, 64, false, rounding)
    case 'from-w':
      return fromInteger(format, BigInt.asIntN(32, x), rounding)
    case 'from-wu':
      return fromInteger(format, BigInt.asUintN(32, x), rounding)
    case 'from-l':
      return fromInteger(format, BigInt.asIntN(64, x), rounding)
    case 'from-lu':
      return fromInteger(format, x, rounding)
  }
}

/** float(base, word): executes a float instruction on the vCPU block at base; 1 when its rounding mode is reserved. */
export function floatUnit(memory: WebAssembly.Memory): (base: number, word: number) => number {
  const u64 = new BigUint64Array(memory.buffer)
  const f64 = new Float64Array(memory.buffer)
  const f32 = new Float32Array(memory.buffer)
  const u32 = new Uint32Array(memory.buffer)

  /** A register's pattern; what is not boxed as 32 bits must be is a NaN there. */
  const pattern = (index: number, format: FloatFormat): bigint => {
    const value = u64[index]
    if (format === F64) return value
    return value >= NAN_BOX ? value & 0xffffffffn : canonicalNan(F32)
  }

  return (base, word) => {
    const semantics = semanticsOf(word)
    const { op, bytes } = semantics
    const format = bytes === 4 ? F32 : F64
    const x = (base + Vcpu.X) / 8
    const fs = (base + Vcpu.F) / 8
    const fcsr = (base + Vcpu.FCSR) / 4
    const [rd, rs1, rs2, rs3] = [
      (word >>> 7) & 31,
      (word >>> 15) & 31,
      (word >>> 20) & 31,
      (word >>> 27) & 31,
    ]
    const flags = u32[fcsr] & 31
    let rounding: number = Rounding.RNE
    if (!unrounded.has(op)) {
      const field = (word >>> 12) & 7
      rounding = field === DYNAMIC ? u32[fcsr] >>> 5 : field
      if (rounding > Rounding.RMM) return 1
      const quick = native[op]
      if (quick && rounding === Rounding.RNE && flags & FloatFlag.NX) {
        if (bytes === 8) {
          const result = quick(f64[fs + rs1], f64[fs + rs2])
          if (Math.abs(result) >= SAFE_F64 && Number.isFinite(result)) {
            f64[fs + rd] = result
            u64[(base + Vcpu.SSTATUS) / 8] |= BigInt(Sstatus.FS)
            return 0
          }
        } else if (
          u32[2 * (fs + rs1) + 1] === 0xffffffff &&
          (op === 'sqrt' || u32[2 * (fs + rs2) + 1] === 0xffffffff)
        ) {
          // Rounding twice gives the same: 53 bits are more than twice 24 and two.
          const result = Math.fround(quick(f32[2 * (fs + rs1)], f32[2 * (fs + rs2)]))
          if (Math.abs(result) >= SAFE_F32 && Number.isFinite(result)) {
            f32[2 * (fs + rd)] = result
            u32[2 * (fs + rd) + 1] = 0xffffffff
            u64[(base + Vcpu.SSTATUS) / 8] |= BigInt(Sstatus.FS)
            return 0
          }
        }
      }
    }
    const source = op === 'from-float' ? (format === F32 ? F64 : F32) : format
    const operands: Operands =
      op === 'to-bits'
        ? { a: u64[fs + rs1], b: 0n, c: 0n, x: 0n }
        : {
            a: pattern(fs + rs1, source),
            b: pattern(fs + rs2, format),
            c: pattern(fs + rs3, format),
            x: u64[x + rs1],
          }
    const result = compute(op, format, operands, rounding)
    if (toX.has(op)) {
      const narrow = op === 'to-w' || op === 'to-wu' || (op === 'to-bits' && bytes === 4)
      if (rd) u64[x + rd] = BigInt.asUintN(64, narrow ? BigInt.asIntN(32, result.value) : result.value)
    } else {
      u64[fs + rd] = bytes === 4 ? NAN_BOX | (result.value & 0xffffffffn) : result.value
    }
    u32[fcsr] |= result.flags
    if (result.flags || !toX.has(op)) u64[(base + Vcpu.SSTATUS) / 8] |= BigInt(Sstatus.FS)
    return 0
  }
}
