import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { PageType } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import { Process, unmapMappingRange } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096

const setUp = () => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const process = new Process(host)
  const syscalls = new Syscalls(process)
  const run = host.scheduler.runSync.bind(host.scheduler)
  return { host, process, syscalls, run }
}

test('F2 anonymous memory is zero at first touch, keeps what is stored, and is zero again after DONTNEED', () => {
  const { host, process, syscalls, run } = setUp()
  const free = host.buddy.freeFrames
  const at = run(syscalls.mmapAnonymous(4 * PAGE))
  expect(host.buddy.freeFrames).toBe(free)
  expect(run(syscalls.load(hva(at + 10), 2))).toEqual({ ok: true, value: Uint8Array.of(0, 0) })
  run(syscalls.store(hva(at + PAGE - 1), Uint8Array.of(1, 2)))
  expect(run(syscalls.load(hva(at + PAGE - 1), 2))).toEqual({ ok: true, value: Uint8Array.of(1, 2) })
  const frame = process.mappedFrame(at)
  if (!frame) throw new Error('not mapped')
  expect(host.memory.folios.type(frame.pfn)).toBe(PageType.anon)
  expect([host.memory.folios.refcount[frame.pfn], host.memory.folios.mapcount[frame.pfn]]).toEqual([1, 1])
  run(syscalls.madvise(at, 4 * PAGE, 4))
  expect(host.buddy.freeFrames).toBe(free)
  expect(run(syscalls.load(hva(at + PAGE), 1))).toEqual({ ok: true, value: Uint8Array.of(0) })
  run(syscalls.munmap(at, 4 * PAGE))
  expect(host.buddy.freeFrames).toBe(free)
  expect(run(syscalls.load(hva(at), 1))).toMatchObject({ signal: 'SIGSEGV', code: 'SEGV_MAPERR' })
})

test('protection can be taken and given back without losing the page', () => {
  const { syscalls, run } = setUp()
  const at = run(syscalls.mmapAnonymous(2 * PAGE))
  run(syscalls.store(hva(at), Uint8Array.of(5)))
  run(syscalls.mprotect(at, PAGE, 1))
  expect(run(syscalls.store(hva(at), Uint8Array.of(6)))).toMatchObject({ code: 'SEGV_ACCERR' })
  expect(run(syscalls.store(hva(at + PAGE), Uint8Array.of(6)))).toMatchObject({ ok: true })
  run(syscalls.mprotect(at, PAGE, 3))
  expect(run(syscalls.store(hva(at + 1), Uint8Array.of(6)))).toMatchObject({ ok: true })
  expect(run(syscalls.load(hva(at), 2))).toEqual({ ok: true, value: Uint8Array.of(5, 6) })
})

test('F3 two mappings of a memfd show one page, and the file outlives its descriptor', () => {
  const { host, syscalls, run } = setUp()
  const free = host.buddy.freeFrames
  const fd = syscalls.memfd('shared', 2 * PAGE)
  const [one, two] = [run(syscalls.mmap(2 * PAGE, 3, 1, fd, 0)), run(syscalls.mmap(PAGE, 3, 1, fd, PAGE))]
  run(syscalls.store(hva(one + PAGE), Uint8Array.of(9)))
  expect(run(syscalls.load(hva(two), 1))).toEqual({ ok: true, value: Uint8Array.of(9) })
  run(syscalls.close(fd))
  expect(run(syscalls.load(hva(two), 1))).toEqual({ ok: true, value: Uint8Array.of(9) })
  run(syscalls.munmap(one, 2 * PAGE))
  run(syscalls.munmap(two, PAGE))
  expect(host.buddy.freeFrames).toBe(free)
})

test('notifiers hear of every change, before and after', () => {
  const { process, syscalls, run } = setUp()
  const heard: string[] = []
  const notifier: MmuNotifier = {
    *invalidateRangeStart(start, end) {
      yield { at: 'test' }
      heard.push(`start ${(end - start) / PAGE} ${process.mappedFrame(start) !== null}`)
    },
    *invalidateRangeEnd(start) {
      yield { at: 'test' }
      heard.push(`end ${process.mappedFrame(start) !== null}`)
    },
  }
  const at = run(syscalls.mmapAnonymous(2 * PAGE))
  run(syscalls.store(hva(at), Uint8Array.of(1)))
  process.notifiers.add(notifier)
  run(syscalls.mprotect(at, 2 * PAGE, 1))
  run(syscalls.munmap(at, 2 * PAGE))
  expect(heard).toEqual(['start 2 true', 'end true', 'start 2 true', 'end false'])
})

test('descriptors take the lowest free number; a table can be full', () => {
  const { host } = setUp()
  const process = new Process(host, 47, 3)
  const syscalls = new Syscalls(process)
  expect([0, 1, 2].map(() => syscalls.openSpecial('null'))).toEqual([0, 1, 2])
  expect(syscalls.dup(1)).toBe(-Errno.EMFILE)
  host.scheduler.runSync(syscalls.close(1))
  expect(syscalls.dup(0)).toBe(1)
  expect(host.scheduler.runSync(syscalls.close(7))).toBe(-Errno.EBADF)
})

test('operations a file does not have fail as the VFS has it', () => {
  const { syscalls, run } = setUp()
  const fd = syscalls.openSpecial('null')
  expect(run(syscalls.ioctl(fd, 0xae00))).toBe(-Errno.ENOTTY)
  expect(run(syscalls.mmap(PAGE, 1, 1, fd, 0))).toBe(-Errno.ENODEV)
  expect(run(syscalls.fallocate(fd, 1, 0, PAGE))).toBe(-Errno.ENODEV)
  expect(run(syscalls.fallocate(syscalls.openSpecial('directory'), 1, 0, PAGE))).toBe(-Errno.EBADF)
})

test('the address space ends below the limit and can be exhausted', () => {
  const { process, syscalls, run } = setUp()
  const big = run(syscalls.mmapAnonymous(2 ** 46))
  expect(big + 2 ** 46).toBeLessThan(process.addressLimit)
  expect(run(syscalls.mmapAnonymous(2 ** 46))).toBe(-Errno.ENOMEM)
  run(syscalls.munmap(big, 2 ** 46))
  expect(run(syscalls.mmapAnonymous(2 ** 46))).toBeGreaterThan(0)
})

test('F3 mprotect that runs into a hole changes what is before it and keeps no reference to its file', () => {
  const { host, syscalls, run } = setUp()
  const free = host.buddy.freeFrames
  const fd = syscalls.memfd('shared', 2 * PAGE)
  const at = run(syscalls.mmap(2 * PAGE, 3, 1, fd, 0))
  run(syscalls.store(hva(at), Uint8Array.of(1)))
  expect(run(syscalls.mprotect(at, 3 * PAGE, 1))).toBe(-Errno.ENOMEM)
  expect(run(syscalls.store(hva(at), Uint8Array.of(2)))).toMatchObject({ code: 'SEGV_ACCERR' })
  run(syscalls.munmap(at, 2 * PAGE))
  run(syscalls.close(fd))
  expect(host.buddy.freeFrames).toBe(free)
})

test('mprotect of a range that wraps is ENOMEM and changes nothing', () => {
  const { syscalls, run } = setUp()
  const at = run(syscalls.mmapAnonymous(PAGE))
  expect(run(syscalls.mprotect(at, -PAGE, 0))).toBe(-Errno.ENOMEM)
  expect(run(syscalls.store(hva(at), Uint8Array.of(1)))).toMatchObject({ ok: true })
})

test('madvise looks the mapping up under mmap_lock: one that went away meanwhile is a hole', () => {
  const { host, syscalls, run } = setUp()
  const at = run(syscalls.mmapAnonymous(PAGE))
  const advice = host.scheduler.spawn('madvise', syscalls.madvise(at, PAGE, 4))
  host.scheduler.step(advice)
  run(syscalls.munmap(at, PAGE))
  host.scheduler.pump()
  expect(advice.value).toBe(-Errno.ENOMEM)
})

test('a file finds a mapping that is being unmapped until its pages are gone', () => {
  const { host, process, syscalls, run } = setUp()
  const fd = syscalls.memfd('shared', 2 * PAGE)
  const at = run(syscalls.mmap(2 * PAGE, 3, 1, fd, 0))
  run(syscalls.store(hva(at), Uint8Array.of(1)))
  const { mappings } = process.fds.get(fd)
  if (!mappings) throw new Error('a memfd has mappings')
  const unmap = host.scheduler.spawn('munmap', syscalls.munmap(at, PAGE))
  // Its pages go after the step at which it stands once the mapping is cut out.
  while (process.vmas.find(at)) host.scheduler.step(unmap)
  expect([unmap.done, process.mappedFrame(at) !== null]).toEqual([false, true])
  run(unmapMappingRange(mappings, 0, 1))
  expect(process.mappedFrame(at)).toBeNull()
  host.scheduler.pump()
  expect([unmap.value, mappings.size]).toEqual([0, 1])
})

test('a mapping made where one without access was is like any other', () => {
  const { host, run } = setUp()
  // Room for one mapping only, so that the second gets the address of the first.
  const calls = new Syscalls(new Process(host, 40))
  const length = 2 ** 39 - 2 ** 29
  const map = () => run(calls.mmapAnonymous(length))
  const at = map()
  run(calls.store(hva(at), Uint8Array.of(1)))
  expect(run(calls.mprotect(at, PAGE, 0))).toBe(0)
  expect(run(calls.load(hva(at), 1))).toMatchObject({ code: 'SEGV_ACCERR' })
  expect(run(calls.munmap(at, length))).toBe(0)
  expect(map()).toBe(at)
  expect(run(calls.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(0) })
  expect(calls.process.pages.reach(at / PAGE, true)).toBe(calls.process.mappedFrame(at)?.pfn)
})

test('mprotect tells the notifiers of what changes only', () => {
  const { process, syscalls, run } = setUp()
  const at = run(syscalls.mmapAnonymous(2 * PAGE))
  const heard: number[] = []
  process.notifiers.add({
    *invalidateRangeStart(start) {
      yield { at: 'test' }
      heard.push((start - at) / PAGE)
    },
    *invalidateRangeEnd() {},
  })
  run(syscalls.mprotect(at + PAGE, PAGE, 1))
  run(syscalls.mprotect(at, 2 * PAGE, 1))
  expect(heard).toEqual([1, 0])
})
