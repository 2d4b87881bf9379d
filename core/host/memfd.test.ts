import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { OpenFlag } from './file.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096

const setUp = (pages: number) => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const syscalls = new Syscalls(new Process(host))
  const run = host.scheduler.runSync.bind(host.scheduler)
  const fd = syscalls.memfd('file', pages * PAGE)
  const at = run(syscalls.mmap(pages * PAGE, 3, 1, fd, 0))
  const load = (offset: number) => run(syscalls.load(hva(at + offset), 1))
  const store = (offset: number, value: number) => run(syscalls.store(hva(at + offset), Uint8Array.of(value)))
  return { host, syscalls, run, fd, at, load, store }
}

test('N5 a shorter file loses its pages and the rest of its last page; a longer one reads zeroes', () => {
  const { host, syscalls, run, fd, load, store } = setUp(3)
  const free = host.buddy.freeFrames
  for (const offset of [10, 100, PAGE, 2 * PAGE]) store(offset, 5)
  expect(syscalls.fstat(fd)).toMatchObject({ blocks: 24 })
  expect(run(syscalls.ftruncate(fd, 50))).toBe(0)
  expect(host.buddy.freeFrames).toBe(free - 1)
  expect(load(PAGE)).toMatchObject({ signal: 'SIGBUS' })
  expect(run(syscalls.ftruncate(fd, 3 * PAGE))).toBe(0)
  expect([10, 100, PAGE].map(load)).toEqual(
    [5, 0, 0].map((byte) => ({ ok: true, value: Uint8Array.of(byte) })),
  )
})

test('N5 a hole takes whole pages out and zeroes parts of others', () => {
  const { syscalls, run, fd, load, store } = setUp(3)
  for (const offset of [10, PAGE, 2 * PAGE, 2 * PAGE + 200]) store(offset, 5)
  expect(run(syscalls.fallocate(fd, 3, 5, 2 * PAGE + 95))).toBe(0)
  expect([10, PAGE, 2 * PAGE, 2 * PAGE + 200].map((offset) => load(offset))).toEqual(
    [0, 0, 0, 5].map((byte) => ({ ok: true, value: Uint8Array.of(byte) })),
  )
})

test('N5 data and holes: what fallocate allocates is a hole until it is touched', () => {
  const { syscalls, run, fd, store } = setUp(8)
  store(2 * PAGE, 1)
  run(syscalls.fallocate(fd, 1, 4 * PAGE, PAGE))
  expect(syscalls.lseek(fd, 0, 3)).toBe(2 * PAGE)
  expect(syscalls.lseek(fd, 2 * PAGE, 4)).toBe(3 * PAGE)
  expect(syscalls.lseek(fd, 3 * PAGE, 3)).toBe(-Errno.ENXIO)
  store(4 * PAGE, 1)
  expect(syscalls.lseek(fd, 3 * PAGE, 3)).toBe(4 * PAGE)
})

test('N5 descriptors opened again share the contents, not the position; the last one frees them', () => {
  const { host, syscalls, run, fd, at } = setUp(2)
  const free = host.buddy.freeFrames
  expect(syscalls.write(fd, PAGE + 1)).toBe(PAGE + 1)
  const again = syscalls.reopen(fd, 0)
  expect([syscalls.lseek(fd, 0, 1), syscalls.lseek(again, 0, 1)]).toEqual([PAGE + 1, 0])
  expect([syscalls.read(fd, 2 * PAGE), syscalls.read(again, 10)]).toEqual([PAGE - 1, 10])
  expect(syscalls.write(again, 1)).toBe(-Errno.EBADF)
  run(syscalls.close(fd))
  run(syscalls.munmap(at, 2 * PAGE))
  expect(host.buddy.freeFrames).toBe(free - 2)
  run(syscalls.close(again))
  expect(host.buddy.freeFrames).toBe(free)
})

test('N6 memory without any permission keeps its contents', () => {
  const { syscalls, run } = setUp(1)
  const at = run(syscalls.mmapAnonymous(PAGE))
  run(syscalls.store(hva(at), Uint8Array.of(9)))
  run(syscalls.mprotect(at, PAGE, 0))
  expect(run(syscalls.load(hva(at), 1))).toMatchObject({ signal: 'SIGSEGV', code: 'SEGV_ACCERR' })
  expect(() => run(syscalls.process.pin(at, false))).toThrow('EFAULT')
  expect(run(syscalls.mincore(at, PAGE))).toEqual([true])
  run(syscalls.mprotect(at, PAGE, 3))
  expect(run(syscalls.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(9) })
})

test('N6 locked memory is not given up, and a lock stops at a hole', () => {
  const { syscalls, run } = setUp(1)
  const at = run(syscalls.mmapAnonymous(3 * PAGE))
  run(syscalls.munmap(at + 2 * PAGE, PAGE))
  expect(run(syscalls.mlock(at, 3 * PAGE))).toBe(-Errno.ENOMEM)
  expect(run(syscalls.madvise(at, PAGE, 4))).toBe(-Errno.EINVAL)
  expect(run(syscalls.madvise(at, PAGE, 24))).toBe(0)
})

test('copies that a private mapping made stay where a hole is punched and go where the file ends', () => {
  const { syscalls, run, fd } = setUp(2)
  const own = run(syscalls.mmap(4 * PAGE, 3, 2, fd, 0))
  const get = (page: number) => run(syscalls.load(hva(own + page * PAGE), 1))
  for (const page of [0, 1]) run(syscalls.store(hva(own + page * PAGE), Uint8Array.of(7)))
  run(syscalls.fallocate(fd, 3, 0, 2 * PAGE))
  expect([get(0), get(1)]).toEqual([7, 7].map((byte) => ({ ok: true, value: Uint8Array.of(byte) })))
  run(syscalls.ftruncate(fd, PAGE))
  expect(get(0)).toEqual({ ok: true, value: Uint8Array.of(7) })
  expect(get(1)).toMatchObject({ signal: 'SIGBUS' })
})

test('a page that comes back while others lose it does not outlive the hole', () => {
  const { host, syscalls, run, fd, at } = setUp(1)
  const child = run(syscalls.fork())
  const get = (who: Syscalls) => run(who.load(hva(at), 1))
  run(syscalls.store(hva(at), Uint8Array.of(1)))
  get(child)
  const punch = host.scheduler.spawn('punch', syscalls.fallocate(fd, 3, 0, PAGE))
  host.scheduler.stepTo(punch, 'zap_page_range_single/zap')
  host.scheduler.step(punch)
  host.scheduler.stepTo(punch, 'zap_page_range_single/zap')
  get(syscalls)
  expect(host.scheduler.pump()).toBe('idle')
  expect(get(syscalls)).toEqual({ ok: true, value: Uint8Array.of(0) })
  run(syscalls.store(hva(at), Uint8Array.of(2)))
  expect(get(child)).toEqual({ ok: true, value: Uint8Array.of(2) })
})

test('a descriptor opened O_PATH keeps the file, and lets it go', () => {
  const { host, syscalls, run, fd, at, store } = setUp(1)
  const free = host.buddy.freeFrames
  store(0, 5)
  const path = syscalls.reopen(fd, OpenFlag.PATH)
  run(syscalls.munmap(at, PAGE))
  run(syscalls.close(fd))
  const again = syscalls.reopen(path, OpenFlag.RDWR)
  const mapped = run(syscalls.mmap(PAGE, 3, 1, again, 0))
  expect(run(syscalls.load(hva(mapped), 1))).toEqual({ ok: true, value: Uint8Array.of(5) })
  run(syscalls.munmap(mapped, PAGE))
  run(syscalls.close(again))
  expect(host.buddy.freeFrames).toBe(free - 1)
  run(syscalls.close(path))
  expect(host.buddy.freeFrames).toBe(free)
})
