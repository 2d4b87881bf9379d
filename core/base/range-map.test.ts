import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RangeMap } from './range-map.ts'

const SIZE = 40
const store = fc.record({
  start: fc.nat(SIZE),
  length: fc.nat(SIZE),
  value: fc.nat(2),
})

const ranges = (map: RangeMap<number>): [number, number, number][] => {
  const found: [number, number, number][] = []
  map.forRange(0, SIZE, (value, start, end) => found.push([start, end, value]))
  return found
}

test('like an array, without gaps and without equal neighbours', () => {
  fc.assert(
    fc.property(fc.array(store), (stores) => {
      const map = new RangeMap<number>(SIZE, 0)
      const model = new Array<number>(SIZE).fill(0)
      for (const { start, length, value } of stores) {
        const end = Math.min(SIZE, start + length)
        map.store(start, end, value)
        model.fill(value, start, end)
        expect(Array.from({ length: SIZE }, (_, i) => map.get(i))).toEqual(model)
        const all = ranges(map)
        expect(map.size).toBe(all.length)
        expect(all[0][0]).toBe(0)
        expect(all.at(-1)?.[1]).toBe(SIZE)
        for (let i = 1; i < all.length; i++) {
          expect(all[i][0]).toBe(all[i - 1][1])
          expect(all[i][2]).not.toBe(all[i - 1][2])
        }
      }
    }),
  )
})

test('isUniform and forRange look only at the range asked for', () => {
  const map = new RangeMap<string>(100, 'shared')
  map.store(10, 20, 'private')
  expect(map.isUniform(0, 10, 'shared')).toBe(true)
  expect(map.isUniform(0, 11, 'shared')).toBe(false)
  expect(map.isUniform(10, 20, 'private')).toBe(true)
  expect(map.isUniform(9, 20, 'private')).toBe(false)
  const seen: unknown[] = []
  map.forRange(15, 30, (...range) => seen.push(range))
  expect(seen).toEqual([
    ['private', 15, 20],
    ['shared', 20, 30],
  ])
})
