// The exact arithmetic against the computer's own, which rounds to nearest, and against what each mode and flag means.
// The random streams (engine/random.test.ts) compare all of it with QEMU.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  add,
  canonicalNan,
  convertFormat,
  divide,
  F32,
  F64,
  FloatFlag,
  multiply,
  multiplyAdd,
  Rounding,
  squareRoot,
  subtract,
  toInteger,
} from './softfloat.ts'

const view = new DataView(new ArrayBuffer(8))
const bits64 = (value: number): bigint => {
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  return Number.isNaN(value) ? canonicalNan(F64) : bits
}
const bits32 = (value: number): bigint => {
  view.setFloat32(0, value)
  return Number.isNaN(value) ? canonicalNan(F32) : BigInt(view.getUint32(0))
}

describe('rounding to nearest, as the computer does it', () => {
  const any64 = fc.double()
  const any32 = fc.float()

  it('add, subtract, multiply, divide and root of 64 bits', () => {
    fc.assert(
      fc.property(any64, any64, (a, b) => {
        const [x, y] = [bits64(a), bits64(b)]
        expect(add(F64, x, y, Rounding.RNE).value).toBe(bits64(a + b))
        expect(subtract(F64, x, y, Rounding.RNE).value).toBe(bits64(a - b))
        expect(multiply(F64, x, y, Rounding.RNE).value).toBe(bits64(a * b))
        expect(divide(F64, x, y, Rounding.RNE).value).toBe(bits64(a / b))
        expect(squareRoot(F64, x, Rounding.RNE).value).toBe(bits64(Math.sqrt(a)))
        expect(convertFormat(F64, F32, x, Rounding.RNE).value).toBe(bits32(Math.fround(a)))
      }),
      { numRuns: 2000 },
    )
  })

  it('the same of 32 bits', () => {
    fc.assert(
      fc.property(any32, any32, (a, b) => {
        const [x, y] = [bits32(a), bits32(b)]
        expect(add(F32, x, y, Rounding.RNE).value).toBe(bits32(a + b))
        expect(multiply(F32, x, y, Rounding.RNE).value).toBe(bits32(a * b))
        expect(divide(F32, x, y, Rounding.RNE).value).toBe(bits32(a / b))
        expect(squareRoot(F32, x, Rounding.RNE).value).toBe(bits32(Math.sqrt(a)))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('modes and flags', () => {
  const third = (rounding: number): bigint => divide(F64, bits64(1), bits64(3), rounding).value

  it('a third lies between two neighbours, and each mode picks its own', () => {
    const down = bits64(1 / 3)
    expect([
      third(Rounding.RNE),
      third(Rounding.RTZ),
      third(Rounding.RDN),
      third(Rounding.RUP),
      third(Rounding.RMM),
    ]).toEqual([down, down, down, down + 1n, down])
  })

  it('halves go to even, or away from zero', () => {
    const half = bits64(2.5)
    const to = (rounding: number) => toInteger(F64, half, 32, true, rounding)
    expect(to(Rounding.RNE)).toEqual({ value: 2n, flags: FloatFlag.NX })
    expect(to(Rounding.RMM).value).toBe(3n)
    expect(toInteger(F64, bits64(-1), 32, false, Rounding.RNE)).toEqual({ value: 0n, flags: FloatFlag.NV })
  })

  it('what overflows is infinite or the largest number, by mode', () => {
    const most = bits64(Number.MAX_VALUE)
    const flags = FloatFlag.OF | FloatFlag.NX
    expect(add(F64, most, most, Rounding.RNE)).toEqual({ value: bits64(Infinity), flags })
    expect(add(F64, most, most, Rounding.RTZ)).toEqual({ value: most, flags })
  })

  it('underflow is tiny after rounding, and inexact', () => {
    const smallest = bits64(2 ** -1022)
    const below = divide(F64, smallest, bits64(3), Rounding.RNE)
    expect(below.flags).toBe(FloatFlag.UF | FloatFlag.NX)
    // Exact, so not underflow though tiny.
    expect(divide(F64, smallest, bits64(2), Rounding.RNE).flags).toBe(0)
    // Rounds up to the smallest normal number even without a limit to the exponent.
    const almost = multiply(F64, bits64(1 - 2 ** -53), smallest, Rounding.RUP)
    expect(almost).toEqual({ value: smallest, flags: FloatFlag.UF | FloatFlag.NX })
  })

  it('zero, infinity and NaN raise what they must', () => {
    const [zero, one, inf] = [bits64(0), bits64(1), bits64(Infinity)]
    const signaling = 0x7ff0000000000001n
    expect(divide(F64, one, zero, 0)).toEqual({ value: inf, flags: FloatFlag.DZ })
    for (const invalid of [
      divide(F64, zero, zero, 0),
      subtract(F64, inf, inf, 0),
      multiply(F64, zero, inf, 0),
      squareRoot(F64, bits64(-1), 0),
      add(F64, signaling, one, 0),
      multiplyAdd(F64, inf, zero, canonicalNan(F64), 0),
    ])
      expect(invalid).toEqual({ value: canonicalNan(F64), flags: FloatFlag.NV })
    expect(add(F64, canonicalNan(F64), one, 0)).toEqual({ value: canonicalNan(F64), flags: 0 })
    expect(subtract(F64, one, one, Rounding.RDN).value).toBe(bits64(-0))
  })

  it('a fused sum is rounded once', () => {
    const a = bits64(1 + 2 ** -30)
    const exact = multiplyAdd(F64, a, a, bits64(-1 - 2 ** -29), Rounding.RNE)
    expect(exact).toEqual({ value: bits64(2 ** -60), flags: 0 })
  })
})
