// Loads and stores that miss the TLB, are misaligned, or cross a page.

import { Access, type AccessKind, NO_FAULT, type Runtime } from './runtime.ts'
import { Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, I32, I64, Local } from './wasm/function.ts'

type Walker = Callable<readonly ['i32', 'i64', 'i32', 'i32'], 'i32'>

/** `va` and the last byte of the access lie in different pages. */
const crosses = (f: FunctionBuilder, va: Local<'i64'>, bytes: Local<'i32'>): I32 =>
  f.i32.gt_u(f.i32.add(f.i32.and(f.i32.wrap(f.get(va)), f.i32.const(0xfff)), f.get(bytes)), f.i32.const(4096))

/** Runs `body` for the access size that `bytes` holds. */
const bySize = (f: FunctionBuilder, bytes: Local<'i32'>, body: (size: 1 | 2 | 4 | 8) => void): void => {
  for (const size of [8, 4, 2] as const)
    f.if(f.i32.eq(f.get(bytes), f.i32.const(size)), () => {
      body(size)
    })
  body(1)
}

interface Crossing {
  /** Host address of the access's first byte. */
  readonly first: Local<'i32'>
  /** Host address of the second page, minus the bytes in the first: byte i >= split is at second + i. */
  readonly second: Local<'i32'>
  /** Bytes in the first page. */
  readonly split: Local<'i32'>
}

/** Translates both pages of a crossing access before anything is read or written; `failed` runs on a fault. */
function locateBoth(
  f: FunctionBuilder,
  translate: Walker,
  base: Local<'i32'>,
  va: Local<'i64'>,
  access: AccessKind,
  failed: () => void,
): Crossing {
  const [first, second, split] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const part = (address: () => I64): I32 =>
    f.call(translate, f.get(base), address(), f.i32.const(access), f.i32.load(f.get(base), Vcpu.PRIV))
  f.if(
    f.i32.eqz(
      f.tee(
        first,
        part(() => f.get(va)),
      ),
    ),
    failed,
  )
  f.set(
    second,
    part(() => f.i64.and(f.i64.add(f.get(va), f.i64.const(7)), f.i64.const(-4096))),
  )
  f.if(f.i32.eqz(f.get(second)), failed)
  f.set(split, f.i32.sub(f.i32.const(4096), f.i32.and(f.i32.wrap(f.get(va)), f.i32.const(0xfff))))
  f.set(second, f.i32.sub(f.get(second), f.get(split)))
  return { first, second, split }
}

/** Host address of byte `index` of a crossing access. */
const byteAt = (f: FunctionBuilder, { first, second, split }: Crossing, index: Local<'i32'>): I32 =>
  f.i32.add(f.select(f.get(first), f.get(second), f.i32.lt_u(f.get(index), f.get(split))), f.get(index))

/** load(base, va, bytes) -> value, zero-extended; fault.cause is NO_FAULT unless it failed. */
export const buildLoad = (
  { module, fault }: Runtime,
  translate: Walker,
): Callable<readonly ['i32', 'i64', 'i32'], 'i64'> =>
  module.function(['i32', 'i64', 'i32'], 'i64', (f, base, va, bytes) => {
    const index = f.local('i32')
    const value = f.local('i64')
    f.setGlobal(fault.cause, f.i32.const(NO_FAULT))
    f.if(crosses(f, va, bytes), () => {
      const crossing = locateBoth(f, translate, base, va, Access.READ, () => f.return(f.i64.const(0)))
      f.set(index, f.get(bytes))
      f.loop((next) => {
        f.set(index, f.i32.sub(f.get(index), f.i32.const(1)))
        f.set(
          value,
          f.i64.or(f.i64.shl(f.get(value), f.i64.const(8)), f.i64.load8_u(byteAt(f, crossing, index))),
        )
        f.brIf(next, f.get(index))
      })
      f.return(f.get(value))
    })
    const host = f.local('i32')
    f.set(
      host,
      f.call(translate, f.get(base), f.get(va), f.i32.const(Access.READ), f.i32.load(f.get(base), Vcpu.PRIV)),
    )
    f.if(f.i32.eqz(f.get(host)), () => f.return(f.i64.const(0)))
    bySize(f, bytes, (size) => {
      const load = { 1: f.i64.load8_u, 2: f.i64.load16_u, 4: f.i64.load32_u, 8: f.i64.load }[size]
      f.return(load(f.get(host)))
    })
  })

/** store(base, va, value, bytes) -> 1 when it failed, and then nothing was written. */
export const buildStore = (
  { module }: Runtime,
  translate: Walker,
): Callable<readonly ['i32', 'i64', 'i64', 'i32'], 'i32'> =>
  module.function(['i32', 'i64', 'i64', 'i32'], 'i32', (f, base, va, value, bytes) => {
    const index = f.local('i32')
    f.if(crosses(f, va, bytes), () => {
      const crossing = locateBoth(f, translate, base, va, Access.WRITE, () => f.return(f.i32.const(1)))
      f.loop((next) => {
        f.i64.store8(byteAt(f, crossing, index), f.get(value))
        f.set(value, f.i64.shr_u(f.get(value), f.i64.const(8)))
        f.set(index, f.i32.add(f.get(index), f.i32.const(1)))
        f.brIf(next, f.i32.lt_u(f.get(index), f.get(bytes)))
      })
      f.return(f.i32.const(0))
    })
    const host = f.local('i32')
    f.set(
      host,
      f.call(
        translate,
        f.get(base),
        f.get(va),
        f.i32.const(Access.WRITE),
        f.i32.load(f.get(base), Vcpu.PRIV),
      ),
    )
    f.if(f.i32.eqz(f.get(host)), () => f.return(f.i32.const(1)))
    bySize(f, bytes, (size) => {
      const store = { 1: f.i64.store8, 2: f.i64.store16, 4: f.i64.store32, 8: f.i64.store }[size]
      store(f.get(host), f.get(value))
      f.return(f.i32.const(0))
    })
  })
