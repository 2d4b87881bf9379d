import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Pfn } from '../base/units.ts'
import { PageType } from '../host/folio-table.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import { LARGE_LEAF_PAGES, Stage2 } from './stage2.ts'

const BOTH = { private: true, shared: true }
/** Three 2 MiB regions around a gigabyte's end, so that two level-1 tables take part. */
const BASE = 2 ** 18 - 2 * LARGE_LEAF_PAGES
const GFNS = 3 * LARGE_LEAF_PAGES
/** A 2 MiB of host frames that nobody uses. */
const LARGE_PFN = 8192

const memory = HostMemory.create(64 * 2 ** 20)

const setUp = () => {
  memory.reset()
  const host = new Host(memory)
  const free = host.buddy.freeFrames
  return { host, stage2: new Stage2(host, 0), free }
}

const gfn = fc.nat(GFNS - 1).map((n) => BASE + n)
const range = fc.tuple(gfn, fc.constantFrom(1, 7, 511, 512, 513, 1024)).map(([start, pages]) => ({
  start,
  end: start + pages,
}))
const alignedRange = fc
  .tuple(fc.nat(2), fc.nat(2))
  .map(([from, count]) => ({ start: BASE + from * 512, end: BASE + (from + count) * 512 }))
const anyRange = fc.oneof(range, alignedRange)
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('map' as const),
    gfn,
    offset: fc.nat(3),
    writable: fc.boolean(),
    isPrivate: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('mapLarge' as const),
    region: fc.nat(2),
    frames: fc.nat(1),
    writable: fc.boolean(),
    isPrivate: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('unmap' as const),
    range: anyRange,
    filter: fc.record({ private: fc.boolean(), shared: fc.boolean() }),
  }),
  fc.record({ kind: fc.constant('protect' as const), range: anyRange }),
)

interface ModelLeaf {
  pfn: number
  writable: boolean
  private: boolean
}

test('K15 leaves of both sizes mapped, split, replaced and protected at random say what a plain map says', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const { host, stage2, free } = setUp()
      const model = new Map<number, ModelLeaf>()
      for (const op of operations) {
        if (op.kind === 'map') {
          const pfn = LARGE_PFN + (op.gfn % 512) + (op.offset > 1 ? op.offset : 0)
          expect(stage2.map(op.gfn, pfn as Pfn, op.writable, op.isPrivate)).toBe(true)
          model.set(op.gfn, { pfn, writable: op.writable, private: op.isPrivate })
        } else if (op.kind === 'mapLarge') {
          const first = BASE + op.region * 512
          const pfn = LARGE_PFN + op.frames * 512
          expect(stage2.mapLarge(first, pfn as Pfn, op.writable, op.isPrivate)).toBe(true)
          for (let i = 0; i < 512; i++)
            model.set(first + i, { pfn: pfn + i, writable: op.writable, private: op.isPrivate })
        } else if (op.kind === 'unmap') {
          let gone = 0
          for (const [at, leaf] of model)
            if (at >= op.range.start && at < op.range.end && op.filter[leaf.private ? 'private' : 'shared']) {
              model.delete(at)
              gone++
            }
          expect(stage2.unmap(op.range.start, op.range.end, op.filter)).toBe(gone)
        } else {
          let protectedPages = 0
          for (const [at, leaf] of model)
            if (at >= op.range.start && at < op.range.end && leaf.writable) {
              leaf.writable = false
              protectedPages++
            }
          expect(stage2.writeProtect(op.range.start, op.range.end)).toBe(protectedPages)
        }
        expect(differences(stage2, model)).toEqual([])
      }
      const { largeLeaves } = stage2
      stage2.forEachLeaf((at, pfn, writable, isPrivate, level) => {
        if (at % 61 === 0) expect(stage2.leaf(at)).toEqual({ pfn, writable, private: isPrivate, level })
      })
      stage2.destroy()
      expect(largeLeaves * LARGE_LEAF_PAGES).toBeLessThanOrEqual(model.size)
      expect([stage2.mapped, stage2.largeLeaves, stage2.tablePages]).toEqual([0, 0, 0])
      expect(host.buddy.freeFrames).toBe(free)
    }),
  )
})

/** Where stage 2, its count and the frames' mapcounts differ from the model. */
const differences = (stage2: Stage2, model: ReadonlyMap<number, ModelLeaf>): string[] => {
  const found: string[] = []
  const mapcounts = new Int32Array(2 * LARGE_LEAF_PAGES)
  let leaves = 0
  stage2.forEachLeaf((at, pfn, writable, isPrivate) => {
    leaves++
    mapcounts[pfn - LARGE_PFN]++
    const leaf = model.get(at)
    if (leaf?.pfn !== pfn || leaf.writable !== writable || leaf.private !== isPrivate)
      found.push(`gfn ${at} -> ${pfn}, expected ${JSON.stringify(leaf)}`)
  })
  if (leaves !== model.size || stage2.mapped !== model.size)
    found.push(`${leaves} leaves, counted ${stage2.mapped}, expected ${model.size}`)
  for (const [i, count] of mapcounts.entries())
    if (memory.folios.guestMapcount[LARGE_PFN + i] !== count) found.push(`mapcount of frame ${i}`)
  return found
}

test('K15 a 2 MiB leaf that loses one page becomes a table of the other 511, linked by one store', () => {
  const { host, stage2 } = setUp()
  stage2.mapLarge(BASE, LARGE_PFN as Pfn, true, true)
  expect(stage2.walk(BASE + 5)).toMatchObject([{ level: 2 }, { level: 1 }])
  expect([stage2.largeLeaves, stage2.tablePages]).toEqual([1, 5])
  const entries: number[] = []
  const store = memory.storeEntry.bind(memory)
  // What a walker finds after every store, at a page that stays: the same frame.
  memory.storeEntry = (address, entry) => {
    store(address, entry)
    entries.push(stage2.leaf(BASE + 5)?.pfn ?? -1)
  }
  expect(stage2.unmap(BASE + 4, BASE + 5, BOTH)).toBe(1)
  memory.storeEntry = store
  expect(entries).toEqual([LARGE_PFN + 5, LARGE_PFN + 5])
  expect([stage2.largeLeaves, stage2.tablePages, stage2.mapped]).toEqual([0, 6, 511])
  expect(stage2.leaf(BASE + 4)).toBeNull()
  expect(stage2.leaf(BASE + 5)).toEqual({ pfn: LARGE_PFN + 5, writable: true, private: true, level: 0 })
  expect(host.memory.folios.guestMapcount[LARGE_PFN + 4]).toBe(0)
})

test('K15 a 2 MiB leaf in the place of a table keeps the table until the flush', () => {
  const { host, stage2 } = setUp()
  stage2.map(BASE + 9, (LARGE_PFN + 9) as Pfn, true, true)
  const { buddy } = host
  const before = buddy.freeFrames
  stage2.mapLarge(BASE, LARGE_PFN as Pfn, true, true)
  expect([stage2.hasUnlinked, buddy.freeFrames]).toEqual([true, before])
  stage2.freeUnlinked()
  expect([stage2.hasUnlinked, buddy.freeFrames]).toEqual([false, before + 1])
  expect([stage2.mapped, host.memory.folios.guestMapcount[LARGE_PFN + 9]]).toEqual([512, 1])
})

test('K15 a 2 MiB leaf that goes whole needs no table', () => {
  const { host, stage2 } = setUp()
  stage2.mapLarge(BASE, LARGE_PFN as Pfn, true, true)
  stage2.mapLarge(BASE + 512, LARGE_PFN as Pfn, true, true)
  const before = host.buddy.freeFrames
  expect(stage2.unmap(BASE, BASE + 512, BOTH)).toBe(512)
  expect(stage2.writeProtect(BASE, BASE + 1024)).toBe(512)
  expect([host.buddy.freeFrames, stage2.hasUnlinked, stage2.largeLeaves]).toEqual([before, false, 1])
})

test('K15 without memory for a table the whole 2 MiB leaf goes, or loses its write permission', () => {
  const { host, stage2 } = setUp()
  stage2.mapLarge(BASE, LARGE_PFN as Pfn, true, true)
  while (host.buddy.tryAlloc(0, PageType.kernel, 0, 0) >= 0);
  expect(stage2.map(BASE + 1, LARGE_PFN as Pfn, true, true)).toBe(false)
  expect(stage2.map(BASE + 1, (LARGE_PFN + 1) as Pfn, true, true)).toBe(true)
  expect(stage2.mapped).toBe(512)
  expect(stage2.writeProtect(BASE + 1, BASE + 2)).toBe(512)
  expect(stage2.leaf(BASE + 2)).toMatchObject({ writable: false, level: 1 })
  expect(stage2.unmap(BASE + 1, BASE + 2, { private: false, shared: true })).toBe(0)
  expect(stage2.unmap(BASE + 1, BASE + 2, BOTH)).toBe(512)
  expect([stage2.mapped, stage2.largeLeaves]).toEqual([0, 0])
})
