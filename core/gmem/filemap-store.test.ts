import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva, type Pfn } from '../base/units.ts'
import { anonInodeFs } from '../host/file.ts'
import { PageType, PG } from '../host/folio-table.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { FOLIO_BATCH_SIZE } from '../host/lru.ts'
import { Process } from '../host/process.ts'
import type { TaskHandle } from '../host/scheduler.ts'
import { Syscalls } from '../host/syscalls.ts'
import { GmemFile } from './file.ts'
import { FilemapStore } from './filemap-store.ts'
import type { StoreKind } from './folio-store.ts'
import { GmemFlag, GmemInode } from './inode.ts'
import type { GmemOperations } from './operations.ts'

const PAGE = 4096

/** A hypervisor that maps nothing. */
const operations: GmemOperations<object> = {
  // biome-ignore lint/correctness/useYield: nothing to unmap
  *invalidateBegin() {
    return { zapped: 0 }
  },
  *invalidateEnd() {},
  *release(view) {
    yield* view.teardown()
  },
}

const memory = HostMemory.create(64 * 2 ** 20)

const setUp = (store: StoreKind, pages = 64) => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const inode = new GmemInode(host, pages * PAGE, GmemFlag.MMAP | GmemFlag.INIT_SHARED, {
    vmRow: -1,
    fileSystem: anonInodeFs,
    name: 'gmem',
    store,
    largeFolios: false,
    inPlace: false,
  })
  const process = new Process(host)
  const file = new GmemFile<object>(inode, operations)
  const fd = process.fds.install(file, false)
  const syscalls = new Syscalls(process)
  const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task)
  const folio = (index: number): Pfn => {
    const pfn = inode.folio(index)
    if (pfn === null) throw new Error(`page ${index} has no folio`)
    return pfn
  }
  return { host, inode, file, fd, syscalls, run, folio }
}

/** Steps a task until it stands at the step called `at`. */
const stepTo = (host: Host, task: TaskHandle, at: string): void => {
  for (let i = 0; i < 1000 && task.step?.at !== at; i++) host.scheduler.step(task)
  expect(task.step?.at).toBe(at)
}

test('X1 a new folio is in a batch that refers to it; the batch drains itself when it is full', () => {
  const { host, inode, fd, syscalls, run, folio } = setUp('filemap')
  run(syscalls.fallocate(fd, 1, 0, (FOLIO_BATCH_SIZE - 1) * PAGE))
  const { folios } = host.memory
  expect([folios.refcount[folio(0)], inode.store.transientReferences(folio(0))]).toEqual([2, 1])
  expect(folios.has(folio(0), PG.lru | PG.unevictable)).toBe(false)
  run(syscalls.fallocate(fd, 1, 0, FOLIO_BATCH_SIZE * PAGE))
  for (let i = 0; i < FOLIO_BATCH_SIZE; i++) {
    expect([folios.refcount[folio(i)], inode.store.transientReferences(folio(i))]).toEqual([1, 0])
    expect([folios.has(folio(i), PG.lru), folios.has(folio(i), PG.unevictable)]).toEqual([true, true])
  }
})

test('X1 the xarray store never has a reference that nobody took', () => {
  const { host, inode, fd, syscalls, run, folio } = setUp('xarray')
  run(syscalls.fallocate(fd, 1, 0, 4 * PAGE))
  expect([host.memory.folios.refcount[folio(0)], inode.store.transientReferences(folio(0))]).toEqual([1, 0])
  expect(host.memory.folios.has(folio(0), PG.lru)).toBe(false)
  expect(host.memory.folios.has(folio(0), PG.unevictable)).toBe(true)
})

test('X1 draining reaches every CPU, and others may run between two of them', () => {
  const { host, inode, fd, syscalls, folio } = setUp('filemap')
  const { scheduler } = host
  for (const cpu of [0, 1]) scheduler.spawn('fallocate', syscalls.fallocate(fd, 1, cpu * PAGE, PAGE), cpu)
  scheduler.pump()
  const drain = scheduler.spawn('drain', host.lru.drainAll(), 0)
  const left = () => [0, 1].map((index) => inode.store.transientReferences(folio(index)))
  scheduler.step(drain)
  scheduler.step(drain)
  expect(left()).toEqual([0, 1])
  scheduler.step(drain)
  expect([left(), drain.value]).toEqual([[0, 0], 2])
})

test('X1 a folio that is removed while another CPU has it in a batch is freed by the drain', () => {
  const { host, fd, syscalls, run, folio } = setUp('filemap')
  const free = host.buddy.freeFrames
  host.scheduler.spawn('fallocate', syscalls.fallocate(fd, 1, 0, 4 * PAGE), 1)
  host.scheduler.pump()
  const pfn = folio(0)
  run(syscalls.fallocate(fd, 3, 0, 4 * PAGE))
  expect([host.buddy.freeFrames, host.lru.mapping[pfn]]).toEqual([free - 4, null])
  expect(run(host.lru.drainAll())).toBe(4)
  expect(host.buddy.freeFrames).toBe(free)
})

test("X1 without free memory, allocation takes back what its own CPU's batch alone refers to", () => {
  const { host, fd, syscalls, run } = setUp('filemap')
  const allocate = (cpu: number): number | undefined => {
    const task = host.scheduler.spawn('fallocate', syscalls.fallocate(fd, 1, 0, 4 * PAGE), cpu)
    host.scheduler.pump()
    return task.value
  }
  expect(allocate(1)).toBe(0)
  run(syscalls.fallocate(fd, 3, 0, 4 * PAGE))
  while (host.buddy.tryAlloc(0, PageType.kernel, 0, 0) >= 0);
  expect([allocate(0), allocate(1)]).toEqual([-Errno.ENOMEM, 0])
})

test('X2 a lookup refers to the folio first and asks whether it is still there: a punch between is seen', () => {
  const { host, inode, fd, syscalls, run, folio } = setUp('filemap')
  const free = host.buddy.freeFrames
  run(syscalls.fallocate(fd, 1, 0, PAGE))
  const old = folio(0)
  for (const at of ['filemap_get_entry/xas_load', 'filemap_get_entry/folio_try_get']) {
    const lookup = host.scheduler.spawn('lookup', inode.store.lookup(0))
    stepTo(host, lookup as TaskHandle, at)
    run(syscalls.fallocate(fd, 3, 0, PAGE))
    host.scheduler.pump()
    expect([lookup.value, host.buddy.freeFrames]).toEqual([null, free])
    expect(host.memory.folios.type(old)).toBe(PageType.free)
    run(syscalls.fallocate(fd, 1, 0, PAGE))
  }
})

test('X2 a lookup whose folio became the frame of another gives its reference back and does not wait for that one', () => {
  const { host, inode, fd, syscalls, run, folio } = setUp('filemap')
  run(syscalls.fallocate(fd, 1, 0, PAGE))
  const old = folio(0)
  const lookup = host.scheduler.spawn('lookup', inode.store.lookup(0))
  stepTo(host, lookup as TaskHandle, 'filemap_get_entry/xas_load')
  run(syscalls.fallocate(fd, 3, 0, PAGE))
  expect(host.buddy.alloc(0, PageType.kernel, 0, 0)).toBe(old)
  host.folioLocks.tryLock(old)
  host.scheduler.pump()
  expect([lookup.done, lookup.value, host.memory.folios.refcount[old]]).toEqual([true, null, 1])
})

test('X2 removal and lookup wait for the folio lock', () => {
  const { host, inode, fd, syscalls, run, folio } = setUp('filemap')
  run(syscalls.fallocate(fd, 1, 0, PAGE))
  const pfn = folio(0)
  host.folioLocks.tryLock(pfn)
  expect(host.folioLocks.tryLock(pfn)).toBe(false)
  const punch = host.scheduler.spawn('punch', syscalls.fallocate(fd, 3, 0, PAGE))
  const lookup = host.scheduler.spawn('lookup', inode.store.lookup(0))
  host.scheduler.pump()
  expect([punch.done, lookup.done, inode.folio(0)]).toEqual([false, false, pfn])
  host.folioLocks.unlock(pfn)
  host.scheduler.pump()
  expect([punch.done, lookup.done, inode.folio(0)]).toEqual([true, true, null])
  expect(lookup.value).toBe(null)
})

test('X2 a host fault waits for the folio lock', () => {
  const { host, fd, syscalls, run, folio } = setUp('filemap')
  run(syscalls.fallocate(fd, 1, 0, PAGE))
  const map = run(syscalls.mmap(PAGE, 3, 1, fd, 0))
  host.folioLocks.tryLock(folio(0))
  const load = host.scheduler.spawn('load', syscalls.load(hva(map), 1))
  host.scheduler.pump()
  expect(load.done).toBe(false)
  host.folioLocks.unlock(folio(0))
  host.scheduler.pump()
  expect(load.value).toEqual({ ok: true, value: Uint8Array.of(0) })
})

test('X3 migrate_folio refuses with EINVAL and warns: the last line, where memory management did not ask', () => {
  const { inode } = setUp('filemap')
  if (!(inode.store instanceof FilemapStore)) throw new Error('not a filemap store')
  expect([inode.store.unevictable, inode.store.inaccessible, inode.store.migrateWarnings]).toEqual([
    true,
    true,
    0,
  ])
  expect(inode.store.migrateFolio()).toBe('EINVAL')
  expect(inode.store.migrateWarnings).toBe(1)
})

const PAGES = 48
const range = fc.tuple(fc.nat(PAGES - 1), fc.integer({ min: 1, max: PAGES })).map(([start, length]) => ({
  offset: start * PAGE,
  length: Math.min(length, PAGES - start) * PAGE,
}))
const operation = fc.oneof(
  fc.record({ kind: fc.constant('allocate' as const), range }),
  fc.record({ kind: fc.constant('punch' as const), range }),
  fc.record({
    kind: fc.constant('store' as const),
    page: fc.nat(PAGES - 1),
    value: fc.integer({ min: 1, max: 99 }),
  }),
  fc.record({ kind: fc.constant('load' as const), page: fc.nat(PAGES - 1) }),
  fc.record({ kind: fc.constant('getPfn' as const), page: fc.nat(PAGES - 1) }),
  fc.record({ kind: fc.constant('drain' as const) }),
)

test('X4 both stores answer every call alike, and end with the same free memory', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const outcome = (kind: StoreKind): unknown[] => {
        const { host, inode, file, fd, syscalls, run } = setUp(kind, PAGES)
        const free = host.buddy.freeFrames
        const map = run(syscalls.mmap(PAGES * PAGE, 3, 1, fd, 0))
        const binding = {}
        run(file.bind(0, PAGES, binding))
        const answers = operations.map((op): unknown => {
          switch (op.kind) {
            case 'allocate':
              return run(syscalls.fallocate(fd, 1, op.range.offset, op.range.length))
            case 'punch':
              return run(syscalls.fallocate(fd, 3, op.range.offset, op.range.length))
            case 'store':
              return run(syscalls.store(hva(map + op.page * PAGE), Uint8Array.of(op.value)))
            case 'load':
              return run(syscalls.load(hva(map + op.page * PAGE), 1))
            case 'getPfn': {
              const pfn = run(file.getPfn(op.page, binding))
              const byte = host.memory.frame(pfn)[0]
              host.buddy.put(pfn)
              return byte
            }
            default:
              return run(inode.store.drain())
          }
        })
        const resident = run(syscalls.mincore(map, PAGES * PAGE))
        const present: number[] = []
        inode.forEachFolio(0, PAGES, (index, pfn) => {
          present.push(index)
          const { refcount, mapcount } = host.memory.folios
          expect(refcount[pfn]).toBe(1 + mapcount[pfn] + inode.store.transientReferences(pfn))
        })
        run(syscalls.munmap(map, PAGES * PAGE))
        run(syscalls.close(fd))
        run(host.lru.drainAll())
        expect(host.buddy.freeFrames).toBe(free)
        return [answers, resident, present]
      }
      expect(outcome('filemap')).toEqual(outcome('xarray'))
    }),
    { numRuns: 60 },
  )
})
