import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { PageType } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { Advice } from './madvise.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096
const SHARED_ANONYMOUS = 0x21

const memory = HostMemory.create(64 * 2 ** 20)

const setUp = () => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const run = host.scheduler.runSync.bind(host.scheduler)
  const parent = new Syscalls(new Process(host))
  const put = (who: Syscalls, at: number, value: number) => run(who.store(hva(at), Uint8Array.of(value)))
  const get = (who: Syscalls, at: number): number | string => {
    const loaded = run(who.load(hva(at), 1))
    return loaded.ok ? loaded.value[0] : loaded.code
  }
  return { host, parent, run, put, get, free: host.buddy.freeFrames }
}

test('a child sees what the parent had, and neither sees what the other writes then', () => {
  const { host, parent, run, put, get, free } = setUp()
  const at = run(parent.mmapAnonymous(2 * PAGE))
  put(parent, at, 1)
  const child = run(parent.fork())
  expect(host.buddy.freeFrames).toBe(free - 1)
  const frame = parent.process.mappedFrame(at)
  expect(child.process.mappedFrame(at)).toEqual(frame)
  expect(frame?.writable).toBe(false)
  put(parent, at, 2)
  expect([get(parent, at), get(child, at)]).toEqual([2, 1])
  put(child, at, 3)
  expect([get(parent, at), get(child, at)]).toEqual([2, 3])
  // Memory that neither had touched is zero in both, and each has its own.
  put(child, at + PAGE, 9)
  expect([get(parent, at + PAGE), get(child, at + PAGE)]).toEqual([0, 9])
  run(child.exit())
  run(parent.exit())
  expect(host.buddy.freeFrames).toBe(free)
  expect(host.processes.size).toBe(0)
})

test('who is left alone with a page writes it without a copy', () => {
  const { host, parent, run, put, get } = setUp()
  const at = run(parent.mmapAnonymous(PAGE))
  put(parent, at, 1)
  const child = run(parent.fork())
  const before = parent.process.mappedFrame(at)?.pfn
  run(child.exit())
  const free = host.buddy.freeFrames
  put(parent, at, 2)
  expect(parent.process.mappedFrame(at)).toEqual({ pfn: before, writable: true })
  expect(host.buddy.freeFrames).toBe(free)
  expect(get(parent, at)).toBe(2)
})

test('a page of its own that somebody pinned is not copied when write permission comes back', () => {
  const { parent, run, put } = setUp()
  const at = run(parent.mmapAnonymous(PAGE))
  put(parent, at, 1)
  const before = parent.process.mappedFrame(at)?.pfn
  const pipe = parent.pipe2(0)
  if (typeof pipe === 'number') throw new Error('no pipe')
  expect(run(parent.vmsplice(pipe[1], at, PAGE, 0))).toBe(PAGE)
  run(parent.mprotect(at, PAGE, 1))
  run(parent.mprotect(at, PAGE, 3))
  put(parent, at, 2)
  expect(parent.process.mappedFrame(at)?.pfn).toBe(before)
})

test('shared memory stays shared, with and without a file', () => {
  const { host, parent, run, put, get, free } = setUp()
  const fd = parent.memfd('shared', PAGE)
  const file = run(parent.mmap(PAGE, 3, 1, fd, 0))
  const anonymous = run(parent.mmap(PAGE, 3, SHARED_ANONYMOUS, -1, 0))
  const child = run(parent.fork())
  for (const at of [file, anonymous]) {
    put(child, at, 7)
    expect(get(parent, at)).toBe(7)
    expect(parent.process.mappedFrame(at)).toEqual(child.process.mappedFrame(at))
  }
  run(parent.exit())
  expect(get(child, anonymous)).toBe(7)
  run(child.exit())
  expect(host.buddy.freeFrames).toBe(free)
})

test('a private mapping of a memfd shows the file until it is written, and never writes it', () => {
  const { parent, run, put, get } = setUp()
  const fd = parent.memfd('file', 2 * PAGE)
  const shared = run(parent.mmap(2 * PAGE, 3, 1, fd, 0))
  const priv = run(parent.mmap(2 * PAGE, 3, 2, fd, 0))
  put(parent, shared, 1)
  expect(get(parent, priv)).toBe(1)
  put(parent, shared, 2)
  expect(get(parent, priv)).toBe(2)
  put(parent, priv, 3)
  expect([get(parent, shared), get(parent, priv)]).toEqual([2, 3])
  put(parent, shared, 4)
  expect(get(parent, priv)).toBe(3)
  // The first touch of the second page is a write: the rest of the page is the file's.
  put(parent, shared + PAGE + 1, 5)
  put(parent, priv + PAGE, 6)
  expect([get(parent, priv + PAGE), get(parent, priv + PAGE + 1)]).toEqual([6, 5])
  expect(get(parent, shared + PAGE)).toBe(0)
  const copy = parent.process.mappedFrame(priv)
  expect(copy && memory.folios.type(copy.pfn)).toBe(PageType.anon)
})

test('the child has the same open files under the same numbers, and its own table', () => {
  const { parent, run } = setUp()
  const fd = parent.memfd('file', PAGE)
  const child = run(parent.fork())
  expect(child.fstat(fd)).toEqual(parent.fstat(fd))
  expect(run(child.close(fd))).toBe(0)
  expect(child.fstat(fd)).toBe(-Errno.EBADF)
  expect(parent.fstat(fd)).toMatchObject({ size: PAGE })
  expect(child.memfd('other', PAGE)).toBe(fd)
})

test('MADV_DONTFORK leaves a mapping out, MADV_WIPEONFORK empties it, of exactly the range named', () => {
  const { parent, run, put, get } = setUp()
  const at = run(parent.mmapAnonymous(4 * PAGE))
  for (let page = 0; page < 4; page++) put(parent, at + page * PAGE, page + 1)
  expect(run(parent.madvise(at, PAGE, Advice.DONTFORK))).toBe(0)
  expect(run(parent.madvise(at + PAGE, 2 * PAGE, Advice.WIPEONFORK))).toBe(0)
  expect(run(parent.madvise(at + 2 * PAGE, PAGE, Advice.KEEPONFORK))).toBe(0)
  const child = run(parent.fork())
  expect([0, 1, 2, 3].map((page) => get(child, at + page * PAGE))).toEqual(['SEGV_MAPERR', 0, 3, 4])
  expect([0, 1, 2, 3].map((page) => get(parent, at + page * PAGE))).toEqual([1, 2, 3, 4])
  const shared = run(parent.mmap(PAGE, 3, SHARED_ANONYMOUS, -1, 0))
  expect(run(parent.madvise(shared, PAGE, Advice.WIPEONFORK))).toBe(-Errno.EINVAL)
  expect(run(parent.madvise(at + 3 * PAGE, 100 * PAGE, Advice.DOFORK))).toBe(-Errno.ENOMEM)
})

test('what a child does not get and what it gets empty are two properties', () => {
  const { parent, run, put, get } = setUp()
  const at = run(parent.mmapAnonymous(2 * PAGE))
  put(parent, at, 1)
  put(parent, at + PAGE, 2)
  for (const advice of [Advice.DONTFORK, Advice.KEEPONFORK]) run(parent.madvise(at, PAGE, advice))
  for (const advice of [Advice.WIPEONFORK, Advice.DOFORK]) run(parent.madvise(at + PAGE, PAGE, advice))
  const child = run(parent.fork())
  expect([get(child, at), get(child, at + PAGE)]).toEqual(['SEGV_MAPERR', 0])
})

test('the notifiers hear when the parent loses write permission, and when a page is replaced', () => {
  const { parent, run, put } = setUp()
  const at = run(parent.mmapAnonymous(2 * PAGE))
  put(parent, at, 1)
  const heard: [what: string, pages: number, writable: boolean | undefined][] = []
  const hear = (what: string, start: number, end: number): void => {
    heard.push([what, (end - start) / PAGE, parent.process.mappedFrame(start)?.writable])
  }
  const notifier: MmuNotifier = {
    *invalidateRangeStart(start, end) {
      yield { at: 'test' }
      hear('start', start, end)
    },
    *invalidateRangeEnd(start, end) {
      yield { at: 'test' }
      hear('end', start, end)
    },
  }
  parent.process.notifiers.add(notifier)
  run(parent.fork())
  expect(heard.splice(0)).toEqual([
    ['start', 2, true],
    ['end', 2, false],
  ])
  put(parent, at, 2)
  expect(heard).toEqual([
    ['start', 1, false],
    ['end', 1, true],
  ])
})

test('mappings made in a child keep clear of those it inherited', () => {
  const { parent, run } = setUp()
  const inherited = run(parent.mmapAnonymous(8 * PAGE))
  const child = run(parent.fork())
  const own = run(child.mmapAnonymous(8 * PAGE))
  expect(own + 8 * PAGE).toBeLessThanOrEqual(inherited)
})

test('writers that fault at once on a page they share each get one frame', () => {
  for (let seed = 0; seed < 40; seed++) {
    const { host, parent, run, put, get, free } = setUp()
    const at = run(parent.mmapAnonymous(PAGE))
    put(parent, at, 1)
    const child = run(parent.fork())
    host.scheduler.setMode({ kind: 'shuffle', seed })
    host.scheduler.spawn('parent', parent.store(hva(at), Uint8Array.of(2)))
    host.scheduler.spawn('parent', parent.store(hva(at + 1), Uint8Array.of(3)))
    host.scheduler.spawn('child', child.store(hva(at), Uint8Array.of(4)))
    expect(host.scheduler.pump()).toBe('idle')
    expect([get(parent, at), get(parent, at + 1), get(child, at), get(child, at + 1)]).toEqual([2, 3, 4, 0])
    expect(host.buddy.freeFrames).toBe(free - 2)
  }
})

test('F3 random forks, writes and exits: every process sees its own bytes and no frame is lost', () => {
  const PAGES = 6
  const step = fc.record({
    op: fc.constantFrom('fork', 'store', 'store', 'store', 'exit', 'unmap', 'protect'),
    who: fc.nat(),
    page: fc.nat(2 * PAGES - 1),
    value: fc.integer({ min: 1, max: 100 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { host, parent, run, put, get, free } = setUp()
      const fd = parent.memfd('file', PAGES * PAGE)
      const file = run(parent.mmap(PAGES * PAGE, 3, 2, fd, 0))
      const anonymous = run(parent.mmapAnonymous(PAGES * PAGE))
      const address = (page: number): number =>
        page < PAGES ? file + page * PAGE : anonymous + (page - PAGES) * PAGE
      const family = [{ calls: parent, bytes: new Map<number, number | string>() }]
      for (const { op, who, page, value } of steps) {
        const at = who % family.length
        const { calls, bytes } = family[at]
        if (op === 'fork') family.push({ calls: run(calls.fork()), bytes: new Map(bytes) })
        else if (op === 'exit' && family.length > 1) {
          run(calls.exit())
          family.splice(at, 1)
        } else if (op === 'unmap') {
          run(calls.munmap(address(page), PAGE))
          bytes.set(page, 'SEGV_MAPERR')
        } else if (op === 'protect') {
          run(calls.mprotect(address(page), PAGE, 1))
          run(calls.mprotect(address(page), PAGE, 3))
        } else if (op === 'store' && put(calls, address(page), value).ok) bytes.set(page, value)
      }
      for (const { calls, bytes } of family)
        for (let page = 0; page < 2 * PAGES; page++)
          expect(get(calls, address(page))).toBe(bytes.get(page) ?? 0)
      const mapped = new Int32Array(memory.layout.frames)
      for (const { calls } of family) calls.process.forEachPage((_page, pfn) => mapped[pfn]++)
      expect(memory.folios.mapcount).toEqual(mapped)
      for (const { calls } of family) run(calls.exit())
      expect(host.buddy.freeFrames).toBe(free)
    }),
    { numRuns: 40 },
  )
})
