import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva, type Pfn } from '../base/units.ts'
import { PageType, PG } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { Advice } from './madvise.ts'
import { memoryFailure } from './memory-failure.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096
const memory = HostMemory.create(64 * 2 ** 20)

const setUp = () => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const run = host.scheduler.runSync.bind(host.scheduler)
  const calls = new Syscalls(new Process(host))
  const fail = (pfn: number) => run(memoryFailure(host, pfn))
  const touch = (at: number): Pfn => {
    run(calls.store(hva(at), Uint8Array.of(1)))
    const frame = calls.process.mappedFrame(at)
    if (!frame) throw new Error('not mapped')
    return frame.pfn
  }
  return { host, calls, run, fail, touch }
}

const MCEERR = { ok: false, signal: 'SIGBUS', code: 'BUS_MCEERR_AR' }

test('anonymous memory: every access is SIGBUS with BUS_MCEERR_AR, the neighbours are unharmed', () => {
  const { host, calls, run, fail, touch } = setUp()
  const at = run(calls.mmapAnonymous(3 * PAGE))
  const frames = [touch(at), touch(at + PAGE), touch(at + 2 * PAGE)]
  const free = host.buddy.freeFrames
  fail(frames[1])
  expect(run(calls.load(hva(at + PAGE), 1))).toEqual(MCEERR)
  expect(run(calls.store(hva(at + PAGE), Uint8Array.of(1)))).toEqual(MCEERR)
  expect([touch(at), touch(at + 2 * PAGE)]).toEqual([frames[0], frames[2]])
  expect(memory.folios.type(frames[1])).toBe(PageType.hwpoison)
  expect([host.buddy.freeFrames, host.buddy.hardwareCorrupted]).toEqual([free, 1])
  // A new frame once the old page has been given up.
  run(calls.madvise(at + PAGE, PAGE, Advice.DONTNEED))
  expect(run(calls.load(hva(at + PAGE), 1))).toEqual({ ok: true, value: Uint8Array.of(0) })
  expect(calls.process.mappedFrame(at + PAGE)?.pfn).not.toBe(frames[1])
})

test('a free frame leaves the free lists, and only that one', () => {
  const { host, fail } = setUp()
  const { buddy } = host
  const free = buddy.freeFrames
  const frame = memory.layout.frames - 300
  fail(frame)
  expect([buddy.freeFrames, memory.folios.type(frame as Pfn)]).toEqual([free - 1, PageType.hwpoison])
  const taken = new Set<number>()
  for (
    let pfn = buddy.tryAlloc(0, PageType.kernel, 0, 0);
    pfn >= 0;
    pfn = buddy.tryAlloc(0, PageType.kernel, 0, 0)
  )
    taken.add(pfn)
  expect([taken.size, taken.has(frame)]).toEqual([free - 1, false])
})

test('what cannot be given up is refused, and nothing fails twice', () => {
  const { host, calls, run, fail, touch } = setUp()
  expect(() => fail(0)).toThrow('EBUSY')
  expect(() => fail(host.buddy.alloc(0, PageType.pgtable, 0, 0))).toThrow('EBUSY')
  expect(() => fail(memory.layout.frames)).toThrow('ENXIO')
  const pfn = touch(run(calls.mmapAnonymous(PAGE)))
  fail(pfn)
  expect(() => fail(pfn)).toThrow('EHWPOISON')
  expect(host.buddy.hardwareCorrupted).toBe(1)
})

test('all who share the page lose it: a child, and every mapping of a file', () => {
  const { calls, run, fail, touch } = setUp()
  const at = run(calls.mmapAnonymous(PAGE))
  const anonymous = touch(at)
  const fd = calls.memfd('file', 2 * PAGE)
  const one = run(calls.mmap(2 * PAGE, 3, 1, fd, 0))
  const two = run(calls.mmap(PAGE, 3, 1, fd, PAGE))
  const child = run(calls.fork())
  const shared = touch(one + PAGE)
  touch(two)
  run(child.load(hva(two), 1))
  fail(anonymous)
  fail(shared)
  for (const who of [calls, child])
    for (const address of [at, one + PAGE, two]) expect(run(who.load(hva(address), 1))).toEqual(MCEERR)
  expect(run(child.load(hva(one), 1))).toMatchObject({ ok: true })
  // The file keeps the page, so a new mapping finds the error too.
  const three = run(calls.mmap(PAGE, 3, 1, fd, PAGE))
  expect(run(calls.load(hva(three), 1))).toEqual(MCEERR)
  expect(memory.folios.type(shared)).toBe(PageType.file)
  run(child.exit())
  run(calls.exit())
  expect([anonymous, shared].map((pfn) => memory.folios.type(pfn))).toEqual([
    PageType.hwpoison,
    PageType.hwpoison,
  ])
})

test('a pinned page stays with who pinned it, and is out of use after', () => {
  const { calls, run, fail, touch } = setUp()
  const at = run(calls.mmapAnonymous(PAGE))
  const pfn = touch(at)
  const pipe = calls.pipe2(0)
  if (typeof pipe === 'number') throw new Error('no pipe')
  run(calls.vmsplice(pipe[1], at, PAGE, 0))
  fail(pfn)
  expect([memory.folios.type(pfn), memory.folios.has(pfn, PG.hwpoison)]).toEqual([PageType.anon, true])
  expect(run(calls.vmsplice(pipe[1], at, PAGE, 0))).toBe(-Errno.EFAULT)
  calls.read(pipe[0], PAGE)
  expect(memory.folios.type(pfn)).toBe(PageType.hwpoison)
})

test('madvise(MADV_HWPOISON) takes privilege, then every page of the range', () => {
  const { host, calls, run } = setUp()
  const at = run(calls.mmapAnonymous(3 * PAGE))
  expect(run(calls.madvise(at, PAGE, Advice.HWPOISON))).toBe(-Errno.EPERM)
  calls.process.privileged = true
  expect(run(calls.madvise(at, 0, Advice.HWPOISON))).toBe(0)
  expect(run(calls.madvise(at, 2 * PAGE, Advice.HWPOISON))).toBe(0)
  expect([0, 1, 2].map((page) => run(calls.load(hva(at + page * PAGE), 1)).ok)).toEqual([false, false, true])
  expect(run(calls.madvise(at + 2 * PAGE, 2 * PAGE, Advice.HWPOISON))).toBe(-Errno.EFAULT)
  expect(host.buddy.hardwareCorrupted).toBe(3)
})

test('a forked child inherits the error', () => {
  const { calls, run, fail, touch } = setUp()
  const at = run(calls.mmapAnonymous(PAGE))
  fail(touch(at))
  const child = run(calls.fork())
  expect(run(child.load(hva(at), 1))).toEqual(MCEERR)
})

test('a child made while the error is dealt with loses the page, too, and nobody copies it', () => {
  const { host, calls, run, touch } = setUp()
  const at = run(calls.mmapAnonymous(2 * PAGE))
  const failure = host.scheduler.spawn('failure', memoryFailure(host, touch(at)))
  host.scheduler.stepTo(failure, 'zap_page_range_single/zap')
  const child = run(calls.fork())
  expect(run(child.store(hva(at), Uint8Array.of(1)))).toEqual(MCEERR)
  expect(host.scheduler.pump()).toBe('idle')
  for (const who of [calls, child]) expect(run(who.load(hva(at), 1))).toEqual(MCEERR)
})

test('MADV_POPULATE says EHWPOISON at a page with an error, which mincore counts as there', () => {
  const { calls, run, fail, touch } = setUp()
  const at = run(calls.mmapAnonymous(2 * PAGE))
  fail(touch(at))
  for (const advice of [Advice.POPULATE_READ, Advice.POPULATE_WRITE])
    expect(run(calls.madvise(at, 2 * PAGE, advice))).toBe(-Errno.EHWPOISON)
  expect(run(calls.mincore(at, 2 * PAGE))).toEqual([true, false])
})

test('F1 random failures: the rest of the allocator goes on, and no failed frame is ever given out', () => {
  const first = memory.layout.firstFrame
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 80 }), fc.boolean(), (numbers, two) => {
      memory.reset()
      const host = new Host(memory, { nodes: two ? 2 : 1 })
      const failed = new Set<number>()
      const held: Pfn[] = []
      for (const [i, number] of numbers.entries()) {
        const frame = first + (number % (memory.layout.frames - first))
        if (i % 2) held.push(host.buddy.alloc(0, PageType.anon, 1, i))
        else if (!failed.has(frame)) {
          failed.add(frame)
          host.scheduler.runSync(memoryFailure(host, frame))
        }
      }
      for (const pfn of held) host.buddy.put(pfn)
      expect(host.buddy.freeFrames).toBe(memory.layout.frames - first - failed.size)
      for (let order = 9; order >= 0; order--)
        for (
          let pfn = host.buddy.tryAlloc(order, PageType.kernel, 0, 0);
          pfn >= 0;
          pfn = host.buddy.tryAlloc(order, PageType.kernel, 0, 0)
        )
          for (const frame of failed) expect(frame < pfn || frame >= pfn + 2 ** order).toBe(true)
      expect(host.buddy.freeFrames).toBe(0)
    }),
    { numRuns: 20 },
  )
})
