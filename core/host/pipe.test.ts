import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { OpenFlag } from './file.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { PIPE_BUFFERS, pinnedPages } from './pipe.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096
const memory = HostMemory.create(64 * 2 ** 20)

const setUp = () => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const run = host.scheduler.runSync.bind(host.scheduler)
  const calls = new Syscalls(new Process(host))
  const ends = calls.pipe2(OpenFlag.NONBLOCK)
  if (typeof ends === 'number') throw new Error('no pipe')
  const [read, write] = ends
  const at = run(calls.mmapAnonymous(32 * PAGE))
  const references = (page: number): number => {
    const frame = calls.process.mappedFrame(at + page * PAGE)
    return frame ? memory.folios.refcount[frame.pfn] : 0
  }
  return { host, calls, run, read, write, at, references }
}

test('vmsplice pins pages until they are read', () => {
  const { host, calls, run, read, write, at, references } = setUp()
  run(calls.store(hva(at), Uint8Array.of(1)))
  expect(references(0)).toBe(1)
  expect(run(calls.vmsplice(write, at + 100, PAGE, 0))).toBe(PAGE)
  // The second page, faulted in for it, holds the last 100 bytes.
  expect([references(0), references(1)]).toEqual([2, 2])
  expect([...pinnedPages(host)]).toEqual([
    calls.process.mappedFrame(at)?.pfn,
    calls.process.mappedFrame(at + PAGE)?.pfn,
  ])
  expect(calls.read(read, PAGE - 100)).toBe(PAGE - 100)
  expect([references(0), references(1)]).toEqual([1, 2])
  expect(calls.read(read, PAGE)).toBe(100)
  expect(references(1)).toBe(1)
  expect(calls.read(read, 1)).toBe(-Errno.EAGAIN)
})

test('a pipe holds 16 pages, then EAGAIN', () => {
  const { calls, run, read, write, at } = setUp()
  expect(run(calls.vmsplice(write, at, 20 * PAGE, 0))).toBe(PIPE_BUFFERS * PAGE)
  expect(run(calls.vmsplice(write, at, PAGE, 0))).toBe(-Errno.EAGAIN)
  expect(calls.write(write, 1)).toBe(-Errno.EAGAIN)
  expect(calls.read(read, 1)).toBe(1)
  expect(run(calls.vmsplice(write, at, PAGE, 0))).toBe(-Errno.EAGAIN)
  expect(calls.read(read, PAGE - 1)).toBe(PAGE - 1)
  expect(calls.write(write, 1)).toBe(1)
})

test('pinned pages outlive their mapping, and closing both ends frees them', () => {
  const { host, calls, run, read, write, at } = setUp()
  const free = host.buddy.freeFrames
  run(calls.vmsplice(write, at, 2 * PAGE, 0))
  run(calls.munmap(at, 32 * PAGE))
  expect(host.buddy.freeFrames).toBe(free - 2)
  run(calls.close(write))
  expect(host.buddy.freeFrames).toBe(free - 2)
  run(calls.close(read))
  expect(host.buddy.freeFrames).toBe(free)
  expect([...pinnedPages(host)]).toEqual([])
})

test('vmsplice checks in order: flags, descriptor, readers, space, memory', () => {
  const { calls, run, read, write, at } = setUp()
  expect(run(calls.vmsplice(99, at, PAGE, 16))).toBe(-Errno.EINVAL)
  expect(run(calls.vmsplice(99, at, PAGE, 0))).toBe(-Errno.EBADF)
  expect(run(calls.vmsplice(calls.memfd('file', PAGE), at, PAGE, 0))).toBe(-Errno.EBADF)
  expect(run(calls.vmsplice(read, at, PAGE, 0))).toBe(-Errno.EAGAIN)
  expect(run(calls.vmsplice(write, 0, 0, 0))).toBe(0)
  expect(run(calls.vmsplice(write, 0x1000, PAGE, 0))).toBe(-Errno.EFAULT)
  // What came before the hole stays.
  expect(run(calls.vmsplice(write, at + 31 * PAGE, 2 * PAGE, 0))).toBe(PAGE)
  run(calls.close(read))
  expect(run(calls.vmsplice(write, 0x1000, PAGE, 0))).toBe(-Errno.EPIPE)
  expect(calls.write(write, 1)).toBe(-Errno.EPIPE)
})

test('the end of a pipe: 0 once nobody writes and all is read', () => {
  const { calls, run, read, write } = setUp()
  expect(calls.write(write, 10)).toBe(10)
  run(calls.close(write))
  expect([calls.read(read, 100), calls.read(read, 100)]).toEqual([10, 0])
})

test('pipe2 refuses unknown flags, and a table with room for one', () => {
  const { host, calls } = setUp()
  expect(calls.pipe2(1)).toBe(-Errno.EINVAL)
  const small = new Syscalls(new Process(host, 47, 3))
  expect(small.pipe2(OpenFlag.CLOEXEC)).toEqual([0, 1])
  expect([small.fcntl(0, 1, 0), small.fcntl(1, 1, 0)]).toEqual([1, 1])
  expect(small.pipe2(0)).toBe(-Errno.EMFILE)
  expect(small.memfd('file', PAGE)).toBe(2)
})

test('vmsplice from the reading end copies what the pages hold by then', () => {
  const { calls, run, read, write, at, references } = setUp()
  run(calls.store(hva(at + PAGE - 2), Uint8Array.of(1, 2, 3)))
  run(calls.vmsplice(write, at + PAGE - 2, 3, 0))
  run(calls.store(hva(at + PAGE), Uint8Array.of(9)))
  expect(run(calls.vmsplice(read, 0x1000, 3, 0))).toBe(-Errno.EFAULT)
  expect(run(calls.vmsplice(read, at + 8 * PAGE, 100, 0))).toBe(3)
  expect(run(calls.load(hva(at + 8 * PAGE), 3))).toEqual({ ok: true, value: Uint8Array.of(1, 2, 9) })
  expect([references(0), references(1)]).toEqual([1, 1])
})

test('a child that has the ends keeps them open', () => {
  const { host, calls, run, read, write, at } = setUp()
  run(calls.vmsplice(write, at, PAGE, 0))
  const child = run(calls.fork())
  run(calls.exit())
  expect([...pinnedPages(host)].length).toBe(1)
  expect(child.read(read, PAGE)).toBe(PAGE)
  run(child.exit())
  expect(host.pipes.size).toBe(0)
})

test('two that fill a pipe at once fill it to 16 pages', () => {
  for (let seed = 0; seed < 20; seed++) {
    const { host, calls, run, write, at } = setUp()
    run(calls.vmsplice(write, at, 15 * PAGE, 0))
    host.scheduler.setMode({ kind: 'shuffle', seed })
    const fill = (page: number) => calls.vmsplice(write, at + page * PAGE, PAGE, 0)
    const tasks = [20, 21].map((page) => host.scheduler.spawn('fill', fill(page)))
    expect(host.scheduler.pump()).toBe('idle')
    expect([...pinnedPages(host)].length).toBe(PIPE_BUFFERS)
    expect(tasks.map((task) => task.value).sort()).toEqual([-Errno.EAGAIN, PAGE])
    expect(run(calls.exit())).toBeUndefined()
    expect(host.buddy.freeFrames).toBe(host.memory.layout.frames - host.memory.layout.firstFrame)
  }
})

test('nothing to splice is nothing done, even where there is no pipe', () => {
  const { calls, run, at } = setUp()
  const file = calls.memfd('file', PAGE)
  expect(run(calls.vmsplice(file, at, 0, 0))).toBe(0)
  expect(run(calls.vmsplice(file, at, 1, 0))).toBe(-Errno.EBADF)
})
