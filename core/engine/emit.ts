// What handlers are written with: the run loop's locals and labels, the guest's registers, the TLB, and the ways a
// handler ends.

import type { Arithmetic } from './arithmetic.ts'
import type { FaultState } from './runtime.ts'
import { TLB_ADDEND, tlbEntryOffset, tlbMask } from './tlb.ts'
import type { Traps } from './traps.ts'
import { TLB_BYTES, Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, I32, I64, Label, Local } from './wasm/function.ts'

/** The functions that handlers call. */
export interface Helpers {
  readonly math: Arithmetic
  readonly traps: Traps
  readonly flush: Callable<readonly ['i32'], null>
  readonly flushPage: Callable<readonly ['i32', 'i64'], null>
  readonly translate: Callable<readonly ['i32', 'i64', 'i32', 'i32'], 'i32'>
  readonly locate: Callable<readonly ['i32', 'i64', 'i32'], 'i32'>
  readonly load: Callable<readonly ['i32', 'i64', 'i32'], 'i64'>
  readonly store: Callable<readonly ['i32', 'i64', 'i64', 'i32'], 'i32'>
  /** float(base, word): a float instruction; not 0: its rounding mode is reserved. */
  readonly float: Callable<readonly ['i32', 'i32'], 'i32'>
  readonly csr: Callable<readonly ['i32', 'i32', 'i64', 'i32'], 'i32'>
}

/** The run loop as handlers see it. */
export interface Environment {
  readonly f: FunctionBuilder
  readonly helpers: Helpers
  readonly fault: FaultState
  readonly locals: {
    readonly base: Local<'i32'>
    readonly ip: Local<'i32'>
    readonly bias: Local<'i32'>
    /** The instruction, expanded to 32 bits. */
    readonly word: Local<'i32'>
    /** Its bytes in memory, 2 or 4. */
    readonly size: Local<'i32'>
    readonly page: Local<'i32'>
    readonly pageVa: Local<'i64'>
    readonly tlb: Local<'i32'>
    /** Scratch. */
    readonly entry: Local<'i32'>
    readonly host: Local<'i32'>
    readonly target: Local<'i32'>
    readonly va: Local<'i64'>
    readonly value: Local<'i64'>
  }
  readonly labels: {
    readonly next: Label
    /** Taken jump to `va`, which is even. */
    readonly jump: Label
    /** The fault globals say why; the instruction did not retire. */
    readonly failed: Label
    readonly illegal: Label
    /** Ends the slice before the instruction at ip. */
    readonly stop: Label
  }
  readonly pc: () => I64
  readonly overdue: () => I32
  readonly settle: () => void
  readonly exitSlice: () => void
}

/** Host address of the register whose number starts at bit `lo` of the word. */
export function registerAddress({ f, locals }: Environment, lo: number): I32 {
  return f.i32.add(
    f.get(locals.base),
    f.i32.and(f.i32.shr_u(f.get(locals.word), f.i32.const(lo - 3)), f.i32.const(0xf8)),
  )
}

/** Writes rd; x0 is put back to zero, which is cheaper than a test. */
export function writeRd(env: Environment, value: () => I64): void {
  const { f, locals } = env
  f.i64.store(registerAddress(env, 7), value(), Vcpu.X)
  f.i64.store(f.get(locals.base), f.i64.const(0), Vcpu.X)
}

export function moveIp({ f, locals }: Environment): void {
  f.set(locals.ip, f.i32.add(f.get(locals.ip), f.get(locals.size)))
}

export function advance(env: Environment): void {
  moveIp(env)
  env.f.br(env.labels.next)
}

export function fail(env: Environment, cause: number, value: () => I64): void {
  const { f, fault } = env
  f.setGlobal(fault.cause, f.i32.const(cause))
  f.setGlobal(fault.value, value())
  f.setGlobal(fault.gpa, f.i64.const(0))
  f.setGlobal(fault.pseudo, f.i32.const(0))
  f.br(env.labels.failed)
}

/** The TLB has `va` for that access: its entry is then in `entry`. */
export function tlbHit({ f, locals }: Environment, access: number, bytes: number): I32 {
  f.set(locals.entry, f.i32.add(f.get(locals.tlb), tlbEntryOffset(f, locals.va)))
  return f.i64.eqz(
    f.i64.and(
      f.i64.xor(f.i64.load(f.get(locals.entry), access * TLB_BYTES), f.get(locals.va)),
      f.i64.const(tlbMask(bytes)),
    ),
  )
}

export const hostAddress = ({ f, locals }: Environment, access: number): I32 =>
  f.i32.add(f.i32.wrap(f.get(locals.va)), f.i32.load(f.get(locals.entry), access * TLB_BYTES + TLB_ADDEND))
