// Builds one WebAssembly function in one pass, with the compiler checking operand types.
//
// Every method writes its instruction when it is called and returns a token for the value it leaves on the stack.
// JavaScript evaluates arguments first and from left to right, so `f.i64.add(f.get(a), f.i64.const(1))` writes
// local.get, i64.const, i64.add: expressions read as trees and come out as stack code.

import { ByteWriter } from './bytes.ts'
import * as op from './opcodes.ts'
import { type ValueType, valueTypes } from './opcodes.ts'

declare const stack: unique symbol
/** A value of that type is on the stack. */
export interface Value<T extends ValueType> {
  readonly [stack]: T
}
export type I32 = Value<'i32'>
export type I64 = Value<'i64'>
export type F64 = Value<'f64'>

/** A local variable or parameter. */
export interface Local<T extends ValueType> {
  readonly type: T
  readonly index: number
}
/** A mutable global. */
export interface Global<T extends ValueType> {
  readonly type: T
  readonly globalIndex: number
}
/** A function that can be called; `result` is null for none. */
export interface Callable<P extends readonly ValueType[], R extends ValueType | null> {
  readonly functionIndex: number
  readonly parameters: P
  readonly result: R
}
export type Result<R extends ValueType | null> = R extends ValueType ? Value<R> : undefined
type Arguments<P extends readonly ValueType[]> = { [K in keyof P]: Value<P[K]> }

/** A branch target: the end of a block or the start of a loop. */
export interface Label {
  readonly depth: number
}
export type Hint = 'likely' | 'unlikely'

type MemoryOp = readonly [opcode: number, alignment: number]
type Methods<T, F> = { readonly [K in keyof T]: F }

const token = Object.freeze({}) as never
const VOID = 0x40

const mapValues = <T extends object, F>(table: T, make: (value: T[keyof T]) => F): Methods<T, F> =>
  Object.fromEntries(Object.entries(table).map(([name, value]) => [name, make(value)])) as Methods<T, F>

/** The body of one function under construction. */
export class FunctionBuilder {
  readonly #code = new ByteWriter()
  readonly #locals: ValueType[] = []
  readonly #parameterCount: number
  readonly #hints: { offset: number; likely: boolean }[] = []
  #depth = 0

  constructor(parameters: readonly ValueType[]) {
    this.#parameterCount = parameters.length
  }

  readonly i32 = {
    const: (value: number): I32 => {
      this.#code.u8(0x41)
      this.#code.s32(value)
      return token
    },
    ...mapValues(op.i32Binary, (o) => this.#binary<I32, I32>(o)),
    eqz: (_a: I32): I32 => this.#emit(op.i32Unary.eqz),
    /** The low 32 bits. */
    wrap: (_a: I64): I32 => this.#emit(0xa7),
    ...mapValues(op.i32Loads, (o) => this.#load<I32>(o)),
    ...mapValues(op.i32Stores, (o) => this.#store<I32>(o)),
    atomic: {
      load: this.#load<I32>(op.i32AtomicLoad, true),
      ...mapValues(op.i32Atomics, (o) => this.#rmw<I32>(o)),
    },
  }

  readonly i64 = {
    const: (value: number | bigint): I64 => {
      this.#code.u8(0x42)
      this.#code.s64(BigInt(value))
      return token
    },
    ...mapValues(op.i64Binary, (o) => this.#binary<I64, I64>(o)),
    ...mapValues(op.i64Compare, (o) => this.#binary<I64, I32>(o)),
    eqz: (_a: I64): I32 => this.#emit(0x50),
    ...mapValues(
      op.i64Unary,
      (o) =>
        (_a: I64): I64 =>
          this.#emit(o),
    ),
    extend_s: (_a: I32): I64 => this.#emit(0xac),
    extend_u: (_a: I32): I64 => this.#emit(0xad),
    /** Truncates, saturating at 0 and 2^64 - 1. */
    trunc_sat_f64_u: (_a: F64): I64 => {
      this.#code.u8(0xfc)
      return this.#emit(0x07)
    },
    ...mapValues(op.i64Loads, (o) => this.#load<I64>(o)),
    ...mapValues(op.i64Stores, (o) => this.#store<I64>(o)),
    atomic: {
      ...mapValues(op.i64AtomicLoads, (o) => this.#load<I64>(o, true)),
      ...mapValues(op.i64Atomics, (o) => this.#rmw<I64>(o)),
      ...mapValues(
        op.i64CompareExchange,
        (o) =>
          (_address: I32, _expected: I64, _replacement: I64): I64 =>
            this.#memory(o, 0, true),
      ),
    },
  }

  readonly f64 = {
    add: (_a: F64, _b: F64): F64 => this.#emit(0xa0),
    load: this.#load<F64>([0x2b, 3]),
  }

  local<T extends ValueType>(type: T): Local<T> {
    this.#locals.push(type)
    return { type, index: this.#parameterCount + this.#locals.length - 1 }
  }
  get<T extends ValueType>(local: Local<T>): Value<T> {
    return this.#indexed(0x20, local.index)
  }
  set<T extends ValueType>(local: Local<T>, _value: Value<T>): void {
    this.#indexed(0x21, local.index)
  }
  tee<T extends ValueType>(local: Local<T>, _value: Value<T>): Value<T> {
    return this.#indexed(0x22, local.index)
  }
  getGlobal<T extends ValueType>(global: Global<T>): Value<T> {
    return this.#indexed(0x23, global.globalIndex)
  }
  setGlobal<T extends ValueType>(global: Global<T>, _value: Value<T>): void {
    this.#indexed(0x24, global.globalIndex)
  }
  call<P extends readonly ValueType[], R extends ValueType | null>(
    callee: Callable<P, R>,
    ..._arguments: Arguments<P>
  ): Result<R> {
    return this.#indexed(0x10, callee.functionIndex)
  }
  /** `a` when the condition is not 0, else `b`; both are evaluated. */
  select<T extends ValueType>(_a: Value<T>, _b: Value<T>, _condition: I32): Value<T> {
    return this.#emit(0x1b)
  }

  block(body: (end: Label) => void): void {
    this.#nest(0x02, body)
  }
  loop(body: (start: Label) => void): void {
    this.#nest(0x03, body)
  }
  if(_condition: I32, then: () => void, otherwise?: () => void, hint?: Hint): void {
    this.#hint(hint)
    this.#nest(0x04, () => {
      then()
      if (otherwise) {
        this.#code.u8(0x05)
        otherwise()
      }
    })
  }
  br(label: Label): void {
    this.#indexed(0x0c, this.#depth - label.depth)
  }
  brIf(label: Label, _condition: I32, hint?: Hint): void {
    this.#hint(hint)
    this.#indexed(0x0d, this.#depth - label.depth)
  }
  brTable(labels: readonly Label[], otherwise: Label, _index: I32): void {
    this.#code.u8(0x0e)
    this.#code.u32(labels.length)
    for (const label of labels) this.#code.u32(this.#depth - label.depth)
    this.#code.u32(this.#depth - otherwise.depth)
  }
  return(..._value: readonly Value<ValueType>[]): void {
    this.#emit(0x0f)
  }
  /** Discards a value. */
  drop(_value: Value<ValueType>): void {
    this.#emit(0x1a)
  }
  unreachable(): void {
    this.#emit(0x00)
  }
  /** Orders everything before it with everything after it. */
  fence(): void {
    for (const byte of [0xfe, 0x03, 0x00]) this.#code.u8(byte)
  }
  /** Sets `length` bytes at `address` to `byte`. */
  fill(_address: I32, _byte: I32, _length: I32): void {
    for (const byte of [0xfc, 0x0b, 0x00]) this.#code.u8(byte)
  }

  /** The finished body (locals and code) and its branch hints, as offsets into the body. */
  finish(): { body: Uint8Array; hints: readonly { offset: number; likely: boolean }[] } {
    const body = new ByteWriter()
    body.u32(this.#locals.length)
    for (const type of this.#locals) {
      body.u32(1)
      body.u8(valueTypes[type])
    }
    const hints = this.#hints.map(({ offset, likely }) => ({ offset: offset + body.length, likely }))
    body.raw(this.#code.take())
    body.u8(0x0b)
    return { body: body.take(), hints }
  }

  #emit(opcode: number): never {
    this.#code.u8(opcode)
    return token
  }
  #indexed(opcode: number, index: number): never {
    this.#code.u8(opcode)
    this.#code.u32(index)
    return token
  }
  #binary<A, R>(opcode: number): (a: A, b: A) => R {
    return (_a, _b) => this.#emit(opcode)
  }
  #memory([opcode, alignment]: MemoryOp, offset: number, atomic: boolean): never {
    if (atomic) this.#code.u8(0xfe)
    this.#code.u8(opcode)
    this.#code.u8(alignment)
    this.#code.u32(offset)
    return token
  }
  #load<T>(operation: MemoryOp, atomic = false): (address: I32, offset?: number) => T {
    return (_address, offset = 0) => this.#memory(operation, offset, atomic)
  }
  #store<T>(operation: MemoryOp): (address: I32, value: T, offset?: number) => void {
    return (_address, _value, offset = 0) => this.#memory(operation, offset, false)
  }
  #rmw<T>(operation: MemoryOp): (address: I32, operand: T, offset?: number) => T {
    return (_address, _operand, offset = 0) => this.#memory(operation, offset, true)
  }
  #nest(opcode: number, body: (label: Label) => void): void {
    this.#code.u8(opcode)
    this.#code.u8(VOID)
    this.#depth++
    body({ depth: this.#depth })
    this.#depth--
    this.#code.u8(0x0b)
  }
  #hint(hint: Hint | undefined): void {
    if (hint) this.#hints.push({ offset: this.#code.length, likely: hint === 'likely' })
  }
}
