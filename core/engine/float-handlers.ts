// Interpreter code for F and D. Loads and stores are here; all that computes is the float unit's (float-unit.ts).

import { Sstatus } from '../riscv/csr.ts'
import type { Semantics } from '../riscv/semantics.ts'
import { compileExpr, type Operands } from './compile.ts'
import { advance, type Environment, hostAddress, registerAddress, tlbHit } from './emit.ts'
import { Access, load64, NO_FAULT, store64 } from './runtime.ts'
import { Vcpu } from './vcpu-block.ts'
import type { I64 } from './wasm/function.ts'

/** What stands above a float of 32 bits in its register. */
const NAN_BOX = 0xffffffff00000000n

/** The instruction is illegal while sstatus.FS is off. */
function needFloat({ f, locals, labels }: Environment): void {
  f.brIf(
    labels.illegal,
    f.i64.eqz(f.i64.and(load64(f, locals.base, 'SSTATUS'), f.i64.const(Sstatus.FS))),
    'unlikely',
  )
}

export function emitFloat(env: Environment): void {
  const { f, locals, labels, helpers } = env
  needFloat(env)
  f.brIf(labels.illegal, f.call(helpers.float, f.get(locals.base), f.get(locals.word)))
  advance(env)
}

export function emitFloatLoad(
  env: Environment,
  { bytes, address }: Extract<Semantics, { kind: 'float-load' }>,
  from: Operands,
): void {
  const { f, locals, labels, helpers, fault } = env
  const write = (value: () => I64): void => {
    f.i64.store(
      registerAddress(env, 7),
      bytes === 4 ? f.i64.or(value(), f.i64.const(NAN_BOX)) : value(),
      Vcpu.F,
    )
    store64(f, locals.base, 'SSTATUS', () =>
      f.i64.or(load64(f, locals.base, 'SSTATUS'), f.i64.const(Sstatus.FS)),
    )
    advance(env)
  }
  const load = bytes === 4 ? f.i64.load32_u : f.i64.load
  needFloat(env)
  f.set(locals.va, compileExpr(f, helpers.math, from, address))
  f.if(
    tlbHit(env, Access.READ, bytes),
    () => write(() => load(hostAddress(env, Access.READ))),
    undefined,
    'likely',
  )
  f.set(locals.value, f.call(helpers.load, f.get(locals.base), f.get(locals.va), f.i32.const(bytes)))
  f.brIf(labels.failed, f.i32.ne(f.getGlobal(fault.cause), f.i32.const(NO_FAULT)))
  write(() => f.get(locals.value))
}

export function emitFloatStore(
  env: Environment,
  { bytes, address }: Extract<Semantics, { kind: 'float-store' }>,
  from: Operands,
): void {
  const { f, locals, labels, helpers } = env
  const value = (): I64 => f.i64.load(registerAddress(env, 20), Vcpu.F)
  const store = bytes === 4 ? f.i64.store32 : f.i64.store
  needFloat(env)
  f.set(locals.va, compileExpr(f, helpers.math, from, address))
  f.if(
    tlbHit(env, Access.WRITE, bytes),
    () => {
      store(hostAddress(env, Access.WRITE), value())
      advance(env)
    },
    undefined,
    'likely',
  )
  f.brIf(
    labels.failed,
    f.call(helpers.store, f.get(locals.base), f.get(locals.va), value(), f.i32.const(bytes)),
  )
  advance(env)
}
