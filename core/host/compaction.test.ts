import { expect, test } from 'vitest'
import { hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { AddressSpace } from './address-space.ts'
import { compactMemory } from './compaction.ts'
import { PageType, PG } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import type { KernelTask } from './kernel-task.ts'
import { migrateFolio } from './migrate.ts'
import { Process } from './process.ts'
import { pageOut } from './reclaim.ts'
import { Syscalls } from './syscalls.ts'

const memory = HostMemory.create(64 * 2 ** 20)

const setUp = (nodes: 1 | 2 = 1) => {
  memory.reset()
  const host = new Host(memory, { poison: true, nodes })
  const process = new Process(host)
  const syscalls = new Syscalls(process)
  const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task)
  /** `pages` pages of anonymous memory, each holding its number. */
  const anonymous = (pages: number): number => {
    const start = run(syscalls.mmapAnonymous(pages * PAGE_SIZE))
    for (let page = 0; page < pages; page++)
      run(syscalls.store(hva(start + page * PAGE_SIZE), Uint8Array.of(page)))
    return start
  }
  const frame = (address: number): Pfn => {
    const mapped = process.mappedFrame(address)
    if (!mapped) throw new Error('not mapped')
    return mapped.pfn
  }
  const bytes = (start: number, pages: number) =>
    Array.from({ length: pages }, (_, page) => run(syscalls.load(hva(start + page * PAGE_SIZE), 1)))
  return { host, process, syscalls, run, anonymous, frame, bytes }
}

/** A page cache with one folio, on its list. */
const cached = (host: Host, run: (task: KernelTask<unknown>) => unknown, mapping: AddressSpace): Pfn => {
  const pfn = host.buddy.alloc(0, PageType.gmem, 0, 0)
  host.lru.mapping[pfn] = mapping
  host.lru.add(pfn)
  run(host.lru.drainAll())
  return pfn
}

const guestMemory: AddressSpace = { unevictable: true, inaccessible: true, migrateFolio: () => 'EINVAL' }

test('N7 anonymous memory moves to the high end: contents, permissions and references follow', () => {
  const { host, run, anonymous, frame, bytes } = setUp()
  const start = anonymous(8)
  const before = frame(start)
  const free = host.buddy.freeFrames
  const report = run(compactMemory(host))
  expect(report.kinds).toEqual([{ kind: 'anonymous memory', migrated: 8, refused: 0, why: '' }])
  expect([report.scanned, report.migrated, report.refused]).toEqual([8, 8, 0])
  const after = frame(start)
  expect(after).toBeGreaterThan(before)
  expect(host.memory.folios.type(before)).toBe(PageType.free)
  expect(bytes(start, 8)).toEqual(
    Array.from({ length: 8 }, (_, page) => ({ ok: true, value: Uint8Array.of(page) })),
  )
  run(host.lru.drainAll())
  const { folios } = host.memory
  expect([folios.refcount[after], folios.mapcount[after], folios.has(after, PG.lru)]).toEqual([1, 1, true])
  expect(folios.has(after, PG.anonExclusive)).toBe(true)
  expect(host.buddy.freeFrames).toBe(free)
})

test('N7 a page table of another kind hears before and after, and its reference in between keeps the page', () => {
  const { host, process, run, anonymous, frame } = setUp()
  const start = anonymous(1)
  const before = frame(start)
  const log: string[] = []
  process.notifiers.add({
    // biome-ignore lint/correctness/useYield: takes a reference at once
    *invalidateRangeStart(from, to) {
      log.push(`start ${from - start} ${to - start}`)
      host.buddy.get(before)
    },
    // biome-ignore lint/correctness/useYield: writes down that it heard
    *invalidateRangeEnd() {
      log.push('end')
    },
  })
  const report = run(compactMemory(host))
  expect(log).toEqual(['start 0 4096', 'end'])
  expect(report.kinds).toMatchObject([{ migrated: 0, refused: 1 }])
  expect(frame(start)).toBe(before)
})

test('N7 a pinned page stays where it is, and moves when it is let go', () => {
  const { host, process, run, anonymous, frame } = setUp()
  const start = anonymous(2)
  const { pfn } = run(process.pin(start, true))
  expect(run(compactMemory(host)).kinds).toEqual([
    { kind: 'anonymous memory', migrated: 1, refused: 1, why: 'more references than mappings: pinned' },
  ])
  expect(frame(start)).toBe(pfn)
  expect([host.memory.folios.has(pfn, PG.lru), host.lru.references(pfn)]).toEqual([true, 0])
  host.buddy.put(pfn)
  run(host.lru.drainAll())
  run(compactMemory(host))
  expect(frame(start)).not.toBe(pfn)
})

test('N7 an inaccessible folio is looked at under a reference and its lock, and not isolated', () => {
  const { host, run } = setUp()
  const pfn = cached(host, run, guestMemory)
  const task = host.scheduler.spawn('compact', compactMemory(host))
  for (let i = 0; i < 10 && !host.folioLocks.locked(pfn); i++) host.scheduler.step(task)
  const { folios } = host.memory
  expect([folios.refcount[pfn], folios.has(pfn, PG.locked), folios.has(pfn, PG.lru)]).toEqual([2, true, true])
  while (host.scheduler.pump() !== 'idle');
  expect([folios.refcount[pfn], folios.has(pfn, PG.locked), folios.has(pfn, PG.lru)]).toEqual([
    1,
    false,
    true,
  ])
  expect(task.value?.kinds).toEqual([
    {
      kind: 'guest_memfd',
      migrated: 0,
      refused: 1,
      why: 'its mapping is inaccessible: not even isolated',
    },
  ])
})

test('N7 a folio in the batch of the CPU that compacts is on its list by then', () => {
  const { host, run } = setUp()
  const pfn = host.buddy.alloc(0, PageType.gmem, 0, 0)
  host.lru.mapping[pfn] = guestMemory
  host.lru.add(pfn)
  expect(run(compactMemory(host)).kinds).toMatchObject([
    { why: 'its mapping is inaccessible: not even isolated' },
  ])
})

test('N7 a page that may not be written stays so', () => {
  const { host, syscalls, run, anonymous } = setUp()
  const start = anonymous(1)
  run(syscalls.mprotect(start, PAGE_SIZE, 1))
  expect(run(compactMemory(host)).migrated).toBe(1)
  expect(run(syscalls.store(hva(start), Uint8Array.of(1)))).toMatchObject({ signal: 'SIGSEGV' })
})

test('N7 a folio on no list is not looked at', () => {
  const { host, run } = setUp()
  host.buddy.alloc(0, PageType.gmem, 0, 0)
  host.buddy.alloc(0, PageType.pgtable, 0, 0)
  expect(run(compactMemory(host)).kinds).toEqual([
    { kind: 'guest_memfd', migrated: 0, refused: 1, why: 'on no LRU list: not looked at' },
    { kind: 'page tables', migrated: 0, refused: 1, why: 'on no LRU list: not looked at' },
  ])
})

test('N7 migration asks whether the contents are accessible, then the file', () => {
  const { host, run } = setUp()
  let asked = 0
  const refuses = (inaccessible: boolean): AddressSpace => ({
    unevictable: true,
    inaccessible,
    migrateFolio: () => {
      asked++
      return 'EINVAL'
    },
  })
  const answers = [true, false].map((inaccessible) => {
    const from = cached(host, run, refuses(inaccessible))
    host.lru.isolate(from)
    return run(migrateFolio(host, from, host.buddy.alloc(0, PageType.gmem, 0, 0)))
  })
  expect([answers, asked]).toEqual([['EOPNOTSUPP', 'EINVAL'], 1])
})

test('N7 each node is compacted within itself', () => {
  const { host, run, anonymous, frame } = setUp(2)
  const start = anonymous(1)
  run(compactMemory(host))
  expect(host.buddy.nodeOf(frame(start))).toBe(0)
  expect(frame(start)).toBe(host.buddy.boundary - 1)
})

test('N7 proactive reclaim puts an unevictable folio back through a batch, which refers to it until drained', () => {
  const { host, run, anonymous, frame } = setUp()
  const pfn = cached(host, run, guestMemory)
  const start = anonymous(1)
  const { folios, layout } = host.memory
  expect(run(pageOut(host, layout.firstFrame, layout.frames))).toBe(1)
  expect([folios.refcount[pfn], host.lru.references(pfn), folios.has(pfn, PG.lru)]).toEqual([2, 1, false])
  expect([folios.refcount[frame(start)], folios.has(frame(start), PG.lru)]).toEqual([1, true])
  expect(run(host.lru.drainAll())).toBe(1)
  expect([folios.refcount[pfn], folios.has(pfn, PG.lru), folios.has(pfn, PG.unevictable)]).toEqual([
    1,
    true,
    true,
  ])
})
