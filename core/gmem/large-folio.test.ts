// Large folios of one file, without a hypervisor (SPEC G13).

import { describe, expect, test } from 'vitest'
import type { Pfn } from '../base/units.ts'
import { anonInodeFs } from '../host/file.ts'
import { PageType, PG } from '../host/folio-table.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import { convertPages } from './convert.ts'
import type { StoreKind } from './folio-store.ts'
import { GmemFlag, GmemInode } from './inode.ts'
import { isLargeFolio } from './large-folio.ts'
import { punchHole } from './punch.ts'

const PAGE = 4096
/** Two 2 MiB and a tail. */
const PAGES = 1024 + 8

const setUp = (options: { flags?: number; inPlace?: boolean; store?: StoreKind } = {}) => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const free = host.buddy.freeFrames
  const inode = new GmemInode(host, PAGES * PAGE, options.flags ?? 0, {
    vmRow: -1,
    fileSystem: anonInodeFs,
    name: 'gmem',
    store: options.store ?? 'xarray',
    largeFolios: true,
    inPlace: options.inPlace ?? false,
  })
  const { folios } = host.memory
  const run = host.scheduler.runSync.bind(host.scheduler)
  return {
    host,
    free,
    inode,
    folios,
    run,
    isLarge: (index: number): boolean => {
      const pfn = inode.folio(index)
      return pfn !== null && isLargeFolio(folios, pfn)
    },
    /** As a fault does: the folio, made and zeroed. */
    touch: (index: number): Pfn => {
      const pfn = inode.folioOrCreate(index) as Pfn
      inode.makeUptodate(pfn)
      return pfn
    },
    convert: (start: number, end: number, to: 'private' | 'shared') => {
      if (!inode.states) throw new Error('not converted in place')
      return run(convertPages(inode, inode.states, start, end, to))
    },
    count: (): number => {
      let pages = 0
      inode.forEachFolio(0, PAGES, () => pages++)
      return pages
    },
  }
}

describe.each(['xarray', 'filemap'] as const)('store %s', (store) => {
  test('G13 the first touch of a private 2 MiB takes one block and zeroes it; the tail has small folios', () => {
    const { host, free, inode, folios, touch, isLarge, count, run } = setUp({ store })
    const pfn = touch(700)
    expect([pfn % 512, isLarge(512), isLarge(1023), isLarge(0)]).toEqual([700 % 512, true, true, false])
    const first = inode.folio(512) as Pfn
    expect(folios.has(first, PG.head)).toBe(true)
    for (let i = 0; i < 512; i++) {
      expect([inode.folio(512 + i), folios.index[first + i]]).toEqual([first + i, 512 + i])
      expect([folios.refcount[first + i], folios.has((first + i) as Pfn, PG.uptodate)]).toEqual([1, true])
      const list = folios.flags[first + i] & (PG.lru | PG.unevictable)
      expect(list).toBe(store === 'filemap' ? PG.lru | PG.unevictable : PG.unevictable)
      expect(host.memory.frame((first + i) as Pfn).every((byte) => byte === 0)).toBe(true)
    }
    touch(1024)
    expect([isLarge(1024), count()]).toEqual([false, 513])
    expect(inode.folioPath(600).at(-1)).toMatchObject({ level: 1, value: first + 88 })
    run(inode.evict())
    run(inode.store.drain())
    expect(host.buddy.freeFrames).toBe(free)
  })

  test('G13 fallocate takes blocks for the 2 MiB that it names whole, and does not zero them', () => {
    const { inode, folios, isLarge, count, run } = setUp({ store })
    expect(run(inode.allocateRange(500, PAGES))).toBe(PAGES)
    expect([isLarge(511), isLarge(512), isLarge(1024), count()]).toEqual([false, true, false, PAGES - 500])
    expect(folios.has(inode.folio(512) as Pfn, PG.uptodate)).toBe(false)
    expect(run(inode.allocateRange(0, 512))).toBe(512)
    expect([isLarge(0), count()]).toEqual([false, PAGES])
  })

  test('G13 without a free block the pages are small, to the last frame', () => {
    const { host, inode, isLarge, count, touch, run } = setUp({ store })
    const { buddy } = host
    // One frame of every block stays taken.
    const blocks: number[] = []
    for (
      let at = buddy.tryAlloc(9, PageType.kernel, 0, 0);
      at >= 0;
      at = buddy.tryAlloc(9, PageType.kernel, 0, 0)
    )
      blocks.push(at)
    for (const block of blocks) for (let i = 1; i < 512; i++) buddy.put((block + i) as Pfn)
    expect(touch(3)).toBeGreaterThan(0)
    expect([isLarge(3), count()]).toEqual([false, 1])
    expect(run(inode.allocateRange(0, 1024))).toBe(1024)
    expect(isLarge(600)).toBe(false)
  })

  test('G13 punching a part splits without moving a page; the whole 2 MiB punched, all frames are free', () => {
    const { host, inode, folios, isLarge, touch, count, run } = setUp({ store })
    const first = touch(0)
    const before = host.buddy.freeFrames
    run(punchHole(inode, 10, 20))
    expect([isLarge(0), count(), host.buddy.freeFrames]).toEqual([false, 502, before + 10])
    expect([inode.folio(9), inode.folio(10), inode.folio(20)]).toEqual([first + 9, null, first + 20])
    expect(inode.folioPath(9).at(-1)).toMatchObject({ level: 0, value: first + 9 })
    run(punchHole(inode, 0, 512))
    expect([count(), host.buddy.freeFrames]).toEqual([0, before + 512])
    // A frame that somebody holds outlives its folio, and says nothing of its neighbours any more.
    const held = touch(0)
    host.buddy.get(held)
    run(punchHole(inode, 0, 512))
    expect(folios.has(held, PG.head)).toBe(false)
    host.buddy.put(held)
    // A hole across two: both lose a part.
    touch(0)
    touch(512)
    run(punchHole(inode, 500, 600))
    expect([isLarge(0), isLarge(1023), count()]).toEqual([false, false, 1024 - 100])
  })

  test('G13 pages that come back as other frames leave the 2 MiB split: nothing is migrated', () => {
    const { host, inode, isLarge, touch, run } = setUp({ store })
    const first = touch(0)
    run(punchHole(inode, 5, 6))
    run(inode.store.drain())
    const taken = host.buddy.alloc(0, PageType.kernel, 0, 0)
    expect([touch(5) === first + 5, isLarge(0)]).toEqual([false, false])
    run(punchHole(inode, 5, 6))
    run(inode.store.drain())
    host.buddy.put(taken)
    // The last frame given back is the first one taken: this time it is the one that was there.
    expect(taken).toBe(first + 5)
    expect([touch(5), isLarge(0)]).toEqual([first + 5, store === 'xarray'])
  })
})

test('G13 conversion: any shared page splits, all private and nobody at it merges, contents untouched', () => {
  const { host, inode, isLarge, touch, convert } = setUp({ inPlace: true })
  const first = touch(0)
  for (let i = 0; i < 512; i++) host.memory.frame((first + i) as Pfn)[0] = i % 100
  expect(convert(511, 514, 'shared')).toBeNull()
  expect([isLarge(0), inode.folio(511)]).toEqual([false, first + 511])
  expect(convert(511, 512, 'private')).toBeNull()
  expect(isLarge(0)).toBe(true)
  for (let i = 0; i < 512; i++) expect(host.memory.frame((first + i) as Pfn)[0]).toBe(i % 100)
  convert(3, 5, 'shared')
  convert(3, 4, 'private')
  expect(isLarge(0)).toBe(false)
  // Pages 512 and 513 are shared still: their 2 MiB come in small folios.
  touch(600)
  expect(isLarge(600)).toBe(false)
})

test('G13 a page that somebody holds keeps the 2 MiB from merging until it is let go and looked at again', () => {
  const { host, inode, isLarge, touch, convert } = setUp({ inPlace: true })
  const first = touch(0)
  convert(3, 4, 'shared')
  const pinned = inode.folio(3) as Pfn
  host.buddy.get(pinned)
  expect(convert(3, 4, 'private')).toEqual({ errno: 'EAGAIN', index: 3 })
  host.buddy.put(pinned)
  // A reference to a page that was not converted refuses nothing, but the folio cannot be one again.
  host.buddy.get((first + 9) as Pfn)
  expect([convert(3, 4, 'private'), isLarge(0)]).toEqual([null, false])
  host.buddy.put((first + 9) as Pfn)
  convert(3, 4, 'shared')
  expect([convert(3, 4, 'private'), isLarge(0)]).toEqual([null, true])
})

test('G13 pages touched one by one after a split make the folio whole again when the last is up to date', () => {
  const { inode, isLarge, touch, convert, run } = setUp({ inPlace: true })
  run(inode.allocateRange(0, 512))
  convert(7, 8, 'shared')
  touch(7)
  convert(7, 8, 'private')
  expect(isLarge(7)).toBe(false)
  for (let index = 0; index < 511; index++) touch(index)
  expect(isLarge(7)).toBe(false)
  touch(511)
  expect(isLarge(7)).toBe(true)
})

test('G13 a file that starts shared has small folios', () => {
  const { isLarge, touch } = setUp({ flags: GmemFlag.MMAP | GmemFlag.INIT_SHARED })
  touch(0)
  expect(isLarge(0)).toBe(false)
})

test('G13 a memory error splits: the broken page alone is lost', () => {
  const { host, inode, isLarge, touch, convert, run } = setUp({ inPlace: true })
  const first = touch(0)
  run(memoryFailure(host, first + 4))
  expect([isLarge(0), inode.folio(4)]).toEqual([false, first + 4])
  convert(0, 1, 'shared')
  convert(0, 1, 'private')
  expect(isLarge(0)).toBe(false)
  run(punchHole(inode, 0, 512))
  touch(0)
  expect([isLarge(0), inode.folio(0) === first]).toEqual([true, false])
})
