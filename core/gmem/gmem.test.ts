import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { anonInodeFs } from '../host/file.ts'
import { PG } from '../host/folio-table.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import type { GmemClient } from './client.ts'
import { GmemFile } from './file.ts'
import { GmemFlag, GmemInode } from './inode.ts'

const PAGE = 4096

interface Binding {
  detached: boolean
}

/** A hypervisor that only writes down what it is asked. */
class Recorder implements GmemClient<Binding> {
  readonly log: string[] = [];
  *invalidateBegin(_view: GmemFile<Binding>, start: number, end: number) {
    yield { at: 'test/begin' }
    this.log.push(`begin ${start} ${end}`)
    return 0
  }
  *invalidateEnd(_view: GmemFile<Binding>, start: number, end: number) {
    yield { at: 'test/end' }
    this.log.push(`end ${start} ${end}`)
  }
  detach(binding: Binding) {
    binding.detached = true
  }
  *release(teardown: Parameters<GmemClient<Binding>['release']>[0]) {
    yield* teardown()
    this.log.push('released')
  }
}

const setUp = (pages: number, flags: number) => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const process = new Process(host)
  const client = new Recorder()
  const inode = new GmemInode(host, pages * PAGE, flags, -1, anonInodeFs, 'gmem')
  const file = new GmemFile<Binding>(inode, client)
  const fd = process.fds.install(file, false)
  return {
    host,
    client,
    inode,
    file,
    fd,
    syscalls: new Syscalls(process),
    run: host.scheduler.runSync.bind(host.scheduler),
  }
}

test('fallocate allocates without zeroing; the first touch zeroes and makes it up to date', () => {
  const { host, inode, file, fd, syscalls, run } = setUp(8, 0)
  const binding = { detached: false }
  expect(run(syscalls.fallocate(fd, 1, 0, 8 * PAGE))).toBe(0)
  const pfn = inode.folio(3)
  if (pfn === null) throw new Error('not allocated')
  expect(host.memory.folios.has(pfn, PG.uptodate)).toBe(false)
  expect(run(file.bind(0, 8, binding))).toBe(true)
  expect(run(file.getPfn(3, binding))).toBe(pfn)
  expect(host.memory.folios.has(pfn, PG.uptodate)).toBe(true)
  expect(host.memory.folios.refcount[pfn]).toBe(2)
  expect(host.memory.frame(pfn).every((byte) => byte === 0)).toBe(true)
})

test('a page that is not bound to the asker is EIO, a file that is gone EFAULT', () => {
  const { file, fd, syscalls, run } = setUp(8, 0)
  const [mine, other] = [{ detached: false }, { detached: false }]
  run(file.bind(2, 4, mine))
  expect(() => run(file.getPfn(1, mine))).toThrow('EIO')
  expect(() => run(file.getPfn(2, other))).toThrow('EIO')
  expect(run(file.bind(3, 5, other))).toBe(false)
  expect(file.bindings.get(4)).toBeUndefined()
  run(syscalls.close(fd))
  expect(mine.detached).toBe(true)
  expect(() => run(file.getPfn(2, mine))).toThrow('EFAULT')
})

test('punching invalidates first, then frees; release invalidates the whole file and frees all', () => {
  const { host, client, inode, file, fd, syscalls, run } = setUp(8, 0)
  const free = host.buddy.freeFrames
  run(file.bind(0, 8, { detached: false }))
  run(syscalls.fallocate(fd, 1, 0, 8 * PAGE))
  expect(run(syscalls.fallocate(fd, 3, 2 * PAGE, 100 * PAGE))).toBe(0)
  expect(client.log).toEqual(['begin 2 8', 'end 2 8'])
  expect([inode.folio(1) !== null, inode.folio(2)]).toEqual([true, null])
  run(syscalls.close(fd))
  expect(client.log.slice(2)).toEqual(['begin 0 8', 'end 0 8', 'released'])
  expect(host.buddy.freeFrames).toBe(free)
})

test('allocation that runs out of memory keeps what it got', () => {
  const { host, inode, fd, syscalls, run } = setUp(2 ** 20, 0)
  const free = host.buddy.freeFrames
  expect(run(syscalls.fallocate(fd, 1, 0, 2 ** 20 * PAGE))).toBe(-Errno.ENOMEM)
  expect(host.buddy.freeFrames).toBe(0)
  let folios = 0
  inode.forEachFolio(0, 2 ** 20, () => folios++)
  expect(folios).toBe(free)
  expect(run(syscalls.fallocate(fd, 3, 0, 2 ** 20 * PAGE))).toBe(0)
  expect(host.buddy.freeFrames).toBe(free)
})

test('the host may touch only a file that starts shared; a hole unmaps it from the host too', () => {
  const { syscalls, fd, run } = setUp(4, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
  const at = run(syscalls.mmap(4 * PAGE, 3, 1, fd, 0))
  run(syscalls.store(hva(at), Uint8Array.of(8)))
  expect(run(syscalls.mincore(at, 4 * PAGE))).toEqual([true, false, false, false])
  run(syscalls.fallocate(fd, 3, 0, PAGE))
  expect(run(syscalls.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(0) })

  const closed = setUp(4, GmemFlag.MMAP)
  const map = closed.run(closed.syscalls.mmap(4 * PAGE, 3, 1, closed.fd, 0))
  expect(closed.run(closed.syscalls.load(hva(map), 1))).toMatchObject({ signal: 'SIGBUS' })
})

test('a punch and a host fault that run together never leave the host on a freed frame', () => {
  for (let seed = 0; seed < 50; seed++) {
    const { host, inode, syscalls, fd, run } = setUp(4, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
    const at = run(syscalls.mmap(4 * PAGE, 3, 1, fd, 0))
    host.scheduler.setMode({ kind: 'shuffle', seed })
    for (let i = 0; i < 4; i++) {
      host.scheduler.spawn('store', syscalls.store(hva(at + i * PAGE), Uint8Array.of(1)))
      host.scheduler.spawn('punch', syscalls.fallocate(fd, 3, i * PAGE, PAGE))
      host.scheduler.spawn('store', syscalls.store(hva(at + i * PAGE), Uint8Array.of(1)))
    }
    expect(host.scheduler.pump()).toBe('idle')
    for (let i = 0; i < 4; i++) {
      const frame = syscalls.process.mappedFrame(at + i * PAGE)
      if (frame) expect(frame.pfn).toBe(inode.folio(i))
    }
  }
})

test('G5 a hole beyond the end of the file is no error and no pages', () => {
  const { host, fd, syscalls, run } = setUp(4, 0)
  const ring = host.memory.traceRing(0)
  const before = ring.head
  expect(run(syscalls.fallocate(fd, 3, 100 * PAGE, PAGE))).toBe(0)
  const punched = ring.read(before).records.map(({ fields }) => fields.slice(1, 4))
  expect(punched).toEqual([[4, 0, 0]])
})
