// Compiles the ISA table's expressions. Where registers live is the caller's business: the interpreter reads them
// from the vCPU block, a region compiler from locals.

import type { Field } from '../riscv/format.ts'
import { topBit } from '../riscv/format.ts'
import type { Condition, Expr } from '../riscv/semantics.ts'
import type { Arithmetic } from './arithmetic.ts'
import type { FunctionBuilder, I32, I64, Local } from './wasm/function.ts'

/** How to get an instruction's operands; each call emits code that leaves the value on the stack. */
export interface Operands {
  readonly rs1: () => I64
  readonly rs2: () => I64
  readonly imm: () => I64
  readonly pc: () => I64
}

/** Emits code for the value of an expression. */
export function compileExpr(f: FunctionBuilder, math: Arithmetic, from: Operands, expr: Expr): I64 {
  const value = (e: Expr): I64 => compileExpr(f, math, from, e)
  switch (expr.op) {
    case 'rs1':
    case 'rs2':
    case 'imm':
    case 'pc':
      return from[expr.op]()
    case 'const':
      return f.i64.const(expr.value)
    case 'bool':
      return f.i64.extend_u(compileCondition(f, math, from, expr.condition))
    case 'sext32':
      return f.i64.extend32_s(value(expr.a))
    case 'zext32':
      return f.i64.extend_u(f.i32.wrap(value(expr.a)))
    case 'select':
      return f.select(value(expr.a), value(expr.b), compileCondition(f, math, from, expr.condition))
    case 'clz':
    case 'ctz':
      return f.i64[expr.op](value(expr.a))
    case 'cpop':
      return f.i64.popcnt(value(expr.a))
    case 'rev8':
    case 'orc.b':
      return f.call(math[expr.op], value(expr.a))
    case 'rol':
      return f.i64.rotl(value(expr.a), value(expr.b))
    case 'ror':
      return f.i64.rotr(value(expr.a), value(expr.b))
    case 'add':
    case 'sub':
    case 'and':
    case 'or':
    case 'xor':
    case 'mul':
      return f.i64[expr.op](value(expr.a), value(expr.b))
    case 'sll':
      return f.i64.shl(value(expr.a), value(expr.b))
    case 'srl':
      return f.i64.shr_u(value(expr.a), value(expr.b))
    case 'sra':
      return f.i64.shr_s(value(expr.a), value(expr.b))
    case 'mulh':
    case 'mulhu':
    case 'mulhsu':
    case 'div':
    case 'divu':
    case 'rem':
    case 'remu':
      return f.call(math[expr.op], value(expr.a), value(expr.b))
  }
}

const comparison = {
  eq: 'eq',
  ne: 'ne',
  lt: 'lt_s',
  ge: 'ge_s',
  ltu: 'lt_u',
  geu: 'ge_u',
} as const

/** Emits code for the truth of a condition. */
export const compileCondition = (
  f: FunctionBuilder,
  math: Arithmetic,
  from: Operands,
  { op, a, b }: Condition,
): I32 => f.i64[comparison[op]](compileExpr(f, math, from, a), compileExpr(f, math, from, b))

/** Emits code for an operand field (32 bits) of the instruction word in `word`. */
export function compileField(f: FunctionBuilder, word: Local<'i32'>, field: Field): I32 {
  const top = topBit(field)
  const piece = (index: number): I32 => {
    const { hi, lo, to } = field.pieces[index]
    const width = hi - lo + 1
    // The top piece of a signed field sits at bit 31 in every format: an arithmetic shift extends it.
    const extends_ = field.signed && to + width - 1 === top
    const mask = extends_ ? -(2 ** to) : (2 ** width - 1) * 2 ** to
    const shift = lo - to
    const shifted =
      shift === 0
        ? f.get(word)
        : shift < 0
          ? f.i32.shl(f.get(word), f.i32.const(-shift))
          : (extends_ ? f.i32.shr_s : f.i32.shr_u)(f.get(word), f.i32.const(shift))
    // A shift down to bit 0 from bit 31 leaves nothing to mask.
    return hi === 31 && to === 0 ? shifted : f.i32.and(shifted, f.i32.const(mask | 0))
  }
  let value = piece(0)
  for (let index = 1; index < field.pieces.length; index++) value = f.i32.or(value, piece(index))
  return value
}
