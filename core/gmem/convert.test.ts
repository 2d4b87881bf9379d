// Converting in place below any hypervisor: the range algorithm, refusals, and who may touch a page (SPEC C rules).

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hva, type Pfn } from '../base/units.ts'
import { anonInodeFs } from '../host/file.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import { Prot } from '../host/vma.ts'
import type { PageState } from './attributes.ts'
import { convertPages } from './convert.ts'
import { GmemFile } from './file.ts'
import { GmemFlag, GmemInode } from './inode.ts'
import type { GmemOperations, Invalidation } from './operations.ts'

const PAGE = 4096

/** A hypervisor that writes down what it is asked. */
class Recorder implements GmemOperations<object> {
  readonly log: string[] = [];
  // biome-ignore lint/correctness/useYield: nothing here waits
  *invalidateBegin(
    _view: GmemFile<object>,
    start: number,
    end: number,
    filter: object,
  ): KernelTask<Invalidation> {
    this.log.push(`begin ${start} ${end} ${JSON.stringify(filter)}`)
    return { zapped: 3 }
  }
  // biome-ignore lint/correctness/useYield: nothing here waits
  *invalidateEnd(_view: GmemFile<object>, start: number, end: number): KernelTask<void> {
    this.log.push(`end ${start} ${end}`)
  }
  converted(_view: GmemFile<object>, start: number, end: number, to: PageState, zapped: number): void {
    this.log.push(`${to} ${start} ${end} ${zapped}`)
  }
  *release(view: GmemFile<object>): KernelTask<void> {
    yield* view.teardown()
  }
}

const setUp = (pages: number, flags: number, store: 'xarray' | 'filemap' = 'xarray') => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const process = new Process(host)
  const client = new Recorder()
  const inode = new GmemInode(host, pages * PAGE, flags, {
    vmRow: -1,
    fileSystem: anonInodeFs,
    name: 'gmem',
    store,
    largeFolios: false,
    inPlace: true,
  })
  const syscalls = new Syscalls(process)
  const fd = process.fds.install(new GmemFile<object>(inode, client), false)
  const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task)
  const { states } = inode
  if (!states) throw new Error('the inode tracks no states')
  const address = run(syscalls.mmap(pages * PAGE, Prot.READ | Prot.WRITE, MapFlag.SHARED, fd, 0))
  const at = (page: number) => hva(address + page * PAGE)
  return {
    host,
    client,
    inode,
    states,
    syscalls,
    fd,
    run,
    store: (page: number, value: number) => run(syscalls.store(at(page), Uint8Array.of(value))),
    load: (page: number) => run(syscalls.load(at(page), 1)),
    convert: (start: number, end: number, to: PageState) => run(convertPages(inode, states, start, end, to)),
    task: (start: number, end: number, to: PageState) => convertPages(inode, states, start, end, to),
  }
}

const MAPPED = GmemFlag.MMAP
const SHARED = GmemFlag.MMAP | GmemFlag.INIT_SHARED
const SIGBUS = { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' }
const byte = (value: number) => ({ ok: true, value: Uint8Array.of(value) })

test.each([
  [MAPPED, 'private'],
  [SHARED, 'shared'],
] as const)(
  'C1 the states cover the whole file from the start, one entry: flags %i are %s',
  (flags, state) => {
    const { states } = setUp(2 ** 20, flags)
    expect([states.size, states.end, states.get(0), states.get(2 ** 20 - 1)]).toEqual([
      1,
      2 ** 20,
      state,
      state,
    ])
  },
)

test('C2 a conversion invalidates the kind that the pages leave, stores, tells, ends: once, in this order', () => {
  const m = setUp(8, SHARED)
  expect(m.convert(2, 6, 'private')).toBeNull()
  expect(m.client.log).toEqual(['begin 2 6 {"private":false,"shared":true}', 'private 2 6 3', 'end 2 6'])
  m.client.log.length = 0
  expect(m.convert(3, 4, 'shared')).toBeNull()
  expect(m.client.log).toEqual(['begin 3 4 {"private":true,"shared":false}', 'shared 3 4 3', 'end 3 4'])
})

test('C2 converting what has the state already does nothing at all', () => {
  const m = setUp(8, SHARED)
  expect(m.convert(0, 8, 'shared')).toBeNull()
  expect([m.client.log, m.states.size]).toEqual([[], 1])
})

test('C3 to private takes the pages from the host at once; contents stay, both ways', () => {
  const m = setUp(4, SHARED)
  for (let page = 0; page < 4; page++) m.store(page, 10 + page)
  m.convert(1, 3, 'private')
  expect([0, 1, 2, 3].map(m.load)).toEqual([byte(10), SIGBUS, SIGBUS, byte(13)])
  m.convert(0, 4, 'shared')
  expect([0, 1, 2, 3].map(m.load)).toEqual([10, 11, 12, 13].map(byte))
})

test('C4 a page somebody holds refuses the whole range, names itself, and changes no state; mappings are gone', () => {
  const m = setUp(8, SHARED)
  for (let page = 0; page < 8; page++) m.store(page, page)
  const pinned = m.inode.folio(5) as Pfn
  m.host.buddy.get(pinned)
  expect(m.convert(2, 8, 'private')).toEqual({ errno: 'EAGAIN', index: 5 })
  expect([m.states.size, m.states.get(2), m.client.log]).toEqual([1, 'shared', []])
  expect([0, 1, 2, 5].map((page) => m.host.memory.folios.mapcount[m.inode.folio(page) as Pfn])).toEqual([
    1, 1, 0, 0,
  ])
  expect(m.load(5)).toEqual(byte(5))
  expect(m.convert(0, 5, 'private')).toBeNull()
  m.host.buddy.put(pinned)
  expect(m.convert(5, 8, 'private')).toBeNull()
  expect(m.states.isUniform(0, 8, 'private')).toBe(true)
})

test('C4 to shared asks nobody: a private page has no outside users', () => {
  const m = setUp(2, MAPPED)
  const pfn = m.inode.folioOrCreate(0) as Pfn
  m.host.buddy.get(pfn)
  expect(m.convert(0, 2, 'shared')).toBeNull()
  m.host.buddy.put(pfn)
})

test('C5 a filemap folio still in an LRU batch converts: the batches are drained once a call', () => {
  const m = setUp(4, SHARED, 'filemap')
  m.store(0, 1)
  const pfn = m.inode.folio(0) as Pfn
  expect(m.inode.store.transientReferences(pfn)).toBe(1)
  expect(m.convert(0, 4, 'private')).toBeNull()
  expect(m.host.memory.folios.refcount[pfn]).toBe(1)
})

test('C6 pages that do not exist are converted like others, and nothing is allocated', () => {
  const m = setUp(2 ** 30, MAPPED)
  const free = m.host.buddy.freeFrames
  expect(m.convert(5, 2 ** 30 - 5, 'shared')).toBeNull()
  expect([m.states.size, m.host.buddy.freeFrames]).toEqual([3, free])
})

test('C7 punching a hole keeps the state, unmaps both kinds, and the next touch brings zeroes', () => {
  const m = setUp(4, SHARED)
  m.store(1, 7)
  m.convert(1, 2, 'private')
  m.client.log.length = 0
  expect(m.run(m.syscalls.fallocate(m.fd, 3, 0, 4 * PAGE))).toBe(0)
  expect(m.client.log[0]).toBe('begin 0 4 {"private":true,"shared":true}')
  expect([m.states.get(0), m.states.get(1)]).toEqual(['shared', 'private'])
  m.convert(1, 2, 'shared')
  expect(m.load(1)).toEqual(byte(0))
})

test('C8 a signal between two batches of the check is EINTR, nothing changed, and asking again succeeds', () => {
  const m = setUp(4096, SHARED)
  m.run(m.syscalls.fallocate(m.fd, 1, 0, 4096 * PAGE))
  const { scheduler } = m.host
  const task = scheduler.spawn('convert', m.task(0, 4096, 'private'))
  scheduler.stepTo(task, 'kvm_gmem_is_safe_for_conversion/cond_resched')
  task.signalPending = true
  while (!task.done) scheduler.step(task)
  expect(task.value).toEqual({ errno: 'EINTR', index: 1024 })
  expect(m.states.isUniform(0, 4096, 'shared')).toBe(true)
  expect(m.convert(0, 4096, 'private')).toBeNull()
})

test('C9 a host fault that waits for a conversion to private is SIGBUS', () => {
  const m = setUp(4, SHARED)
  m.store(0, 1)
  const { scheduler } = m.host
  const convert = scheduler.spawn('convert', m.task(0, 4, 'private'))
  scheduler.stepTo(convert, 'gmem_set_attributes/store')
  const address = m.syscalls.process.vmas.all[0].start
  const load = scheduler.spawn('load', m.syscalls.load(hva(address), 1))
  expect(scheduler.pump()).toBe('idle')
  expect([convert.value, load.value]).toEqual([null, SIGBUS])
})

test('C1 C4 random conversions, touches and pins against a state a page in an array', () => {
  const PAGES = 24
  const range = fc.tuple(fc.nat(PAGES - 1), fc.integer({ min: 1, max: PAGES }))
  const operation = fc.oneof(
    fc.record({
      kind: fc.constant('convert' as const),
      range,
      to: fc.constantFrom<PageState>('private', 'shared'),
    }),
    fc.record({
      kind: fc.constant('store' as const),
      page: fc.nat(PAGES - 1),
      value: fc.integer({ min: 1, max: 255 }),
    }),
    fc.record({ kind: fc.constant('pin' as const), page: fc.nat(PAGES - 1) }),
    fc.record({ kind: fc.constant('punch' as const), page: fc.nat(PAGES - 1) }),
  )
  const run = (
    flags: number,
    operations: readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[],
  ) => {
    const m = setUp(PAGES, flags)
    const first: PageState = flags === SHARED ? 'shared' : 'private'
    const expected = Array.from({ length: PAGES }, () => ({
      state: first,
      value: 0,
      pin: null as Pfn | null,
    }))
    for (const op of operations) {
      if (op.kind === 'convert') {
        const [start, end] = [op.range[0], Math.min(PAGES, op.range[0] + op.range[1])]
        const pages = expected.slice(start, end)
        // A private page that is pinned was pinned while shared: no conversion let it through.
        const busy = op.to === 'private' ? pages.findIndex((page) => page.pin !== null) : -1
        const refused = busy >= 0 && pages.some((page) => page.state !== op.to)
        expect(m.convert(start, end, op.to)).toEqual(
          refused ? { errno: 'EAGAIN', index: start + busy } : null,
        )
        if (!refused) for (const page of pages) page.state = op.to
        continue
      }
      const page = expected[op.page]
      if (op.kind === 'store') {
        const shared = page.state === 'shared'
        expect(m.store(op.page, op.value)).toEqual(shared ? { ok: true, value: 1 } : SIGBUS)
        if (shared) page.value = op.value
      } else if (op.kind === 'punch') {
        // A pinned frame lives on, no longer as the file's page.
        if (page.pin !== null) m.host.buddy.put(page.pin)
        page.pin = null
        page.value = 0
        m.run(m.syscalls.fallocate(m.fd, 3, op.page * PAGE, PAGE))
      } else if (page.state === 'shared' && page.pin === null) {
        m.load(op.page)
        page.pin = m.inode.folio(op.page)
        if (page.pin !== null) m.host.buddy.get(page.pin)
      }
      let entries = 0
      expected.forEach(({ state }, i) => {
        expect(m.states.get(i)).toBe(state)
        if (i === 0 || expected[i - 1].state !== state) entries++
      })
      expect(m.states.size).toBe(entries)
    }
    expected.forEach(({ state, value }, i) => {
      expect(m.load(i)).toEqual(state === 'shared' ? byte(value) : SIGBUS)
    })
  }
  fc.assert(fc.property(fc.constantFrom(MAPPED, SHARED), fc.array(operation, { maxLength: 60 }), run), {
    numRuns: 40,
  })
})
