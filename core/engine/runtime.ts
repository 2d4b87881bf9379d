// What the generated functions share: the module, its state while a fault travels, and the vCPU block's fields.

import { Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, Global, I32, I64, Local } from './wasm/function.ts'
import type { ModuleBuilder } from './wasm/module.ts'

/** Access kinds, in the order of the TLB arrays of one privilege. */
export const Access = { READ: 0, WRITE: 1, FETCH: 2 } as const
export type AccessKind = (typeof Access)[keyof typeof Access]

/** Value of `FaultState.cause` when nothing failed. */
export const NO_FAULT = -1

/** Globals that describe the last failed access; read by the run loop only right after the failure. */
export interface FaultState {
  /** Exception cause, or NO_FAULT. */
  readonly cause: Global<'i32'>
  /** stval: the guest virtual address at fault, or the instruction. */
  readonly value: Global<'i64'>
  /** Guest physical address of a G-stage fault. */
  readonly gpa: Global<'i64'>
  /** htinst pseudoinstruction of an implicit access, else 0. */
  readonly pseudo: Global<'i32'>
}

export interface Runtime {
  readonly module: ModuleBuilder
  readonly now: Callable<readonly [], 'f64'>
  readonly fault: FaultState
}

/** Loads an i64 field of the vCPU block. */
export const load64 = (f: FunctionBuilder, base: Local<'i32'>, field: keyof typeof Vcpu): I64 =>
  f.i64.load(f.get(base), Vcpu[field])
/** Loads an i32 field of the vCPU block. */
export const load32 = (f: FunctionBuilder, base: Local<'i32'>, field: keyof typeof Vcpu): I32 =>
  f.i32.load(f.get(base), Vcpu[field])
/** Stores an i64 field; `value` is called where the operand belongs. */
export const store64 = (
  f: FunctionBuilder,
  base: Local<'i32'>,
  field: keyof typeof Vcpu,
  value: () => I64,
): void => f.i64.store(f.get(base), value(), Vcpu[field])
/** Stores an i32 field; `value` is called where the operand belongs. */
export const store32 = (
  f: FunctionBuilder,
  base: Local<'i32'>,
  field: keyof typeof Vcpu,
  value: () => I32,
): void => f.i32.store(f.get(base), value(), Vcpu[field])
