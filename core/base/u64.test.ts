import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  asUnsigned,
  hasUnknownBits,
  isPageAligned,
  numberFromWord,
  pageOfSum,
  readU64,
  writeU64,
} from './u64.ts'

const word = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }).map((page) => page * 4096n),
  fc.bigInt({ min: 2n ** 64n - 10_000n, max: 2n ** 64n - 1n }),
)

test('a word keeps its page and its alignment, and small ones their value', () => {
  fc.assert(
    fc.property(word, (value) => {
      const view = new DataView(new ArrayBuffer(8))
      view.setBigUint64(0, value, true)
      const number = readU64(view, 0)
      expect(numberFromWord(value)).toBe(number)
      expect(BigInt(Math.floor(number / 4096))).toBe(value / 4096n)
      expect(isPageAligned(number)).toBe(value % 4096n === 0n)
      if (value < 2n ** 53n || value % 4096n === 0n) {
        expect(BigInt(number)).toBe(value)
        writeU64(view, 0, number)
        expect(view.getBigUint64(0, true)).toBe(value)
      }
      expect(hasUnknownBits(number, 8)).toBe((value & ~8n) !== 0n)
    }),
  )
})

test('negative words are unsigned the way C makes them', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: -1n }), (value) => {
      const unsigned = asUnsigned(numberFromWord(value))
      const expected = BigInt.asUintN(64, value)
      expect(BigInt(Math.floor(unsigned / 4096))).toBe(expected / 4096n)
      expect(isPageAligned(unsigned)).toBe(expected % 4096n === 0n)
    }),
  )
})

test('the page of a sum is exact where the sum is not', () => {
  const max = 2 ** 63 - 4096
  expect(pageOfSum(max, 4095)).toBe(2 ** 51 - 1)
  expect(pageOfSum(max, 4096)).toBe(2 ** 51)
  expect(pageOfSum(4095, 1)).toBe(1)
})
