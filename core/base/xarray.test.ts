import fc from 'fast-check'
import { expect, test } from 'vitest'
import { XArray } from './xarray.ts'

/** The same operations on a list of disjoint ranges: slow and obviously right. */
class NaiveMap {
  ranges: { start: number; end: number; value: number }[] = []
  store(start: number, end: number, value: number | undefined): void {
    const next: typeof this.ranges = []
    for (const range of this.ranges) {
      if (range.start < start) next.push({ ...range, end: Math.min(range.end, start) })
      if (range.end > end) next.push({ ...range, start: Math.max(range.start, end) })
    }
    if (value !== undefined && start < end) next.push({ start, end, value })
    this.ranges = next.filter((range) => range.start < range.end).sort((a, b) => a.start - b.start)
  }
  get(index: number): number | undefined {
    return this.ranges.find((range) => range.start <= index && index < range.end)?.value
  }
  merged(start: number, end: number): [number, number, number][] {
    const out: [number, number, number][] = []
    for (const range of this.ranges) {
      const low = Math.max(start, range.start)
      const high = Math.min(end, range.end)
      if (low < high) push(out, low, high, range.value)
    }
    return out
  }
}

const push = (out: [number, number, number][], start: number, end: number, value: number): void => {
  const last = out.at(-1)
  if (last && last[1] === start && last[2] === value) last[1] = end
  else out.push([start, end, value])
}

const index = fc.oneof(
  fc.nat(200),
  fc.nat(2 ** 20),
  fc.integer({ min: 2 ** 31 - 100, max: 2 ** 31 + 100 }),
  fc.integer({ min: 2 ** 52 - 200, max: 2 ** 52 - 1 }),
)
const command = fc.record({
  start: index,
  length: fc.oneof(fc.nat(130), fc.nat(2 ** 32)),
  value: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
})

test('store, get, find and forRange agree with a naive map', () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 25 }),
      fc.array(index, { maxLength: 20 }),
      (commands, probes) => {
        const tree = new XArray<number>()
        const naive = new NaiveMap()
        for (const { start, length, value } of commands) {
          const end = Math.min(2 ** 52, start + length)
          tree.store(start, end, value)
          naive.store(start, end, value)
        }
        for (const probe of [...probes, ...commands.map((c) => c.start)]) {
          expect(tree.get(probe)).toBe(naive.get(probe))
          const found = tree.find(probe, 2 ** 52)
          const expected = naive.ranges.find((range) => range.end > probe)
          expect(found).toBe(expected?.value)
          if (found !== undefined && expected) {
            expect(Math.max(tree.foundStart, probe)).toBe(Math.max(expected.start, probe))
          }
          const seen: [number, number, number][] = []
          tree.forRange(probe, 2 ** 52, (value, start, end) => push(seen, start, end, value))
          expect(seen).toEqual(naive.merged(probe, 2 ** 52))
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('fill makes only what is absent and says where it stopped', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(300), { maxLength: 30 }),
      fc.nat(300),
      fc.nat(400),
      fc.nat(200),
      (present, start, length, budget) => {
        const tree = new XArray<number>()
        for (const at of present) tree.set(at, 1)
        const absent = Array.from({ length }, (_, i) => start + i).filter((at) => !present.includes(at))
        const made: number[] = []
        const stopped = tree.fill(start, start + length, (at) => {
          if (made.length === budget) return undefined
          made.push(at)
          return 2
        })
        expect(made).toEqual(absent.slice(0, budget))
        expect(stopped).toBe(absent.length > budget ? absent[budget] : start + length)
        for (const at of made) expect(tree.get(at)).toBe(2)
        for (const at of present) expect(tree.get(at)).toBe(1)
      },
    ),
    { numRuns: 300 },
  )
})

test('a range over 2^52 indexes takes few slots and a part of it can change', () => {
  const tree = new XArray<string>()
  tree.store(0, 2 ** 52, 'a')
  tree.store(2 ** 40 + 1, 2 ** 40 + 2, 'b')
  expect(tree.get(2 ** 40)).toBe('a')
  expect(tree.get(2 ** 40 + 1)).toBe('b')
  tree.store(2 ** 40 + 1, 2 ** 40 + 2, 'a')
  let entries = 0
  tree.forRange(0, 2 ** 52, () => entries++)
  expect(entries).toBeLessThan(1000)
  tree.store(0, 2 ** 52, undefined)
  expect(tree.empty).toBe(true)
})

test('path names the nodes on the way', () => {
  const tree = new XArray<string>()
  tree.set(64 * 3 + 5, 'x')
  tree.store(64 * 8, 64 * 9, 'y')
  const slots = (used: Readonly<Record<number, number>>) =>
    Uint8Array.from({ length: 64 }, (_, i) => used[i] ?? 0)
  expect(tree.path(64 * 3 + 5)).toEqual([
    { level: 1, slot: 3, value: undefined, node: true, slots: slots({ 3: 1, 8: 2 }) },
    { level: 0, slot: 5, value: 'x', node: false, slots: slots({ 5: 2 }) },
  ])
})
