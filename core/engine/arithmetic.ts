// 64-bit operations that WebAssembly lacks or that trap there where RISC-V's do not.

import type { Runtime } from './runtime.ts'
import type { Callable } from './wasm/function.ts'

type Operation = Callable<readonly ['i64', 'i64'], 'i64'>
type UnaryOperation = Callable<readonly ['i64'], 'i64'>
export interface Arithmetic {
  readonly mulh: Operation
  readonly mulhu: Operation
  readonly mulhsu: Operation
  readonly div: Operation
  readonly divu: Operation
  readonly rem: Operation
  readonly remu: Operation
  readonly rev8: UnaryOperation
  readonly 'orc.b': UnaryOperation
}

/** Adds the functions to the module. */
export function buildArithmetic({ module }: Runtime): Arithmetic {
  // High half of a 64x64 product from four 32x32 products:
  //   a = ah:al, b = bh:bl;  middle = ah*bl + (al*bl >> 32), cross = al*bh + low half of middle
  const mulhu = module.function(['i64', 'i64'], 'i64', (f, a, b) => {
    const [al, bl, ah, bh, middle, cross] = Array.from({ length: 6 }, () => f.local('i64'))
    const low = f.i64.const.bind(null, 0xffffffffn)
    const half = f.i64.const.bind(null, 32)
    f.set(al, f.i64.and(f.get(a), low()))
    f.set(bl, f.i64.and(f.get(b), low()))
    f.set(ah, f.i64.shr_u(f.get(a), half()))
    f.set(bh, f.i64.shr_u(f.get(b), half()))
    f.set(
      middle,
      f.i64.add(f.i64.mul(f.get(ah), f.get(bl)), f.i64.shr_u(f.i64.mul(f.get(al), f.get(bl)), half())),
    )
    f.set(cross, f.i64.add(f.i64.mul(f.get(al), f.get(bh)), f.i64.and(f.get(middle), low())))
    f.return(
      f.i64.add(
        f.i64.add(f.i64.mul(f.get(ah), f.get(bh)), f.i64.shr_u(f.get(middle), half())),
        f.i64.shr_u(f.get(cross), half()),
      ),
    )
  })
  // A negative operand counts as itself plus 2^64: take the other operand off the high half.
  const signed = (both: boolean): Operation =>
    module.function(['i64', 'i64'], 'i64', (f, a, b) => {
      const high = f.local('i64')
      f.set(high, f.call(mulhu, f.get(a), f.get(b)))
      f.set(high, f.i64.sub(f.get(high), f.i64.and(f.i64.shr_s(f.get(a), f.i64.const(63)), f.get(b))))
      if (both)
        f.set(high, f.i64.sub(f.get(high), f.i64.and(f.i64.shr_s(f.get(b), f.i64.const(63)), f.get(a))))
      f.return(f.get(high))
    })
  const division = (remainder: boolean, isSigned: boolean): Operation =>
    module.function(['i64', 'i64'], 'i64', (f, a, b) => {
      f.if(f.i64.eqz(f.get(b)), () => f.return(remainder ? f.get(a) : f.i64.const(-1)))
      if (isSigned)
        // Only -2^63 / -1 overflows, but x / -1 = -x and x rem -1 = 0 hold for every x.
        f.if(f.i64.eq(f.get(b), f.i64.const(-1)), () =>
          f.return(remainder ? f.i64.const(0) : f.i64.sub(f.i64.const(0), f.get(a))),
        )
      const operation = isSigned
        ? { quotient: f.i64.div_s, remainder: f.i64.rem_s }
        : { quotient: f.i64.div_u, remainder: f.i64.rem_u }
      f.return(operation[remainder ? 'remainder' : 'quotient'](f.get(a), f.get(b)))
    })
  // Swaps neighbours of 8, then 16, then 32 bits.
  const rev8 = module.function(['i64'], 'i64', (f, a) => {
    for (const [bits, mask] of [
      [8, 0x00ff00ff00ff00ffn],
      [16, 0x0000ffff0000ffffn],
    ] as const)
      f.set(
        a,
        f.i64.or(
          f.i64.shl(f.i64.and(f.get(a), f.i64.const(mask)), f.i64.const(bits)),
          f.i64.and(f.i64.shr_u(f.get(a), f.i64.const(bits)), f.i64.const(mask)),
        ),
      )
    f.return(f.i64.rotl(f.get(a), f.i64.const(32)))
  })
  // The top bit of each byte that has any; then 255 for each.
  const orcB = module.function(['i64'], 'i64', (f, a) => {
    const low7 = 0x7f7f7f7f7f7f7f7fn
    f.return(
      f.i64.mul(
        f.i64.and(
          f.i64.shr_u(
            f.i64.or(f.i64.add(f.i64.and(f.get(a), f.i64.const(low7)), f.i64.const(low7)), f.get(a)),
            f.i64.const(7),
          ),
          f.i64.const(0x0101010101010101n),
        ),
        f.i64.const(255),
      ),
    )
  })
  return {
    rev8,
    'orc.b': orcB,
    mulhu,
    mulh: signed(true),
    mulhsu: signed(false),
    div: division(false, true),
    divu: division(false, false),
    rem: division(true, true),
    remu: division(true, false),
  }
}
