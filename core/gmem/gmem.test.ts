import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { anonInodeFs } from '../host/file.ts'
import { PG } from '../host/folio-table.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import { GmemFile } from './file.ts'
import { GmemFlag, GmemInode } from './inode.ts'
import type { GmemOperations } from './operations.ts'

const PAGE = 4096

interface Binding {
  detached: boolean
}

/** A hypervisor that only writes down what it is asked. */
class Recorder implements GmemOperations<Binding> {
  readonly log: string[] = [];
  *invalidateBegin(_view: GmemFile<Binding>, start: number, end: number) {
    yield { at: 'test/begin' }
    this.log.push(`begin ${start} ${end}`)
    return { zapped: 0 }
  }
  *invalidateEnd(_view: GmemFile<Binding>, start: number, end: number) {
    yield { at: 'test/end' }
    this.log.push(`end ${start} ${end}`)
  }
  converted(_view: GmemFile<Binding>, start: number, end: number, to: string) {
    this.log.push(`${to} ${start} ${end}`)
  }
  *release(view: GmemFile<Binding>): KernelTask<void> {
    yield* view.teardown((binding) => {
      binding.detached = true
    })
    this.log.push('released')
  }
}

const setUp = (pages: number, flags: number) => {
  const host = new Host(HostMemory.create(64 * 2 ** 20), { poison: true })
  const process = new Process(host)
  const client = new Recorder()
  const inode = new GmemInode(host, pages * PAGE, flags, {
    vmRow: -1,
    fileSystem: anonInodeFs,
    name: 'gmem',
    store: 'xarray',
    largeFolios: false,
    inPlace: false,
  })
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

test('G3 fallocate allocates without zeroing; the first touch zeroes and makes it up to date', () => {
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

test('G8 a page that is not bound to the asker is EIO, a file that is gone EFAULT', () => {
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

test('G4 G9 punching invalidates first, then frees; release invalidates the whole file and frees all', () => {
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

test('F1 allocation that runs out of memory keeps what it got', () => {
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

test('G14 allocation that a signal interrupts is EINTR, keeps what it got, and goes on when asked again', () => {
  const { host, inode, fd, syscalls, run } = setUp(4096, 0)
  const { scheduler } = host
  const task = scheduler.spawn('fallocate', syscalls.fallocate(fd, 1, 0, 4096 * PAGE))
  scheduler.stepTo(task, 'gmem_allocate/cond_resched')
  task.signalPending = true
  while (!task.done) scheduler.step(task)
  expect(task.value).toBe(-Errno.EINTR)
  let folios = 0
  inode.forEachFolio(0, 4096, () => folios++)
  expect([folios, inode.folio(1023) !== null, inode.invalidateLock.locked]).toEqual([1024, true, false])
  expect(host.memory.tables.readFiles()[0].folios).toBe(1024)
  expect(run(syscalls.fallocate(fd, 1, 0, 4096 * PAGE))).toBe(0)
})

test('G7 the host may touch only a file that starts shared; a hole unmaps it from the host too', () => {
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

test('M2 a punch and a host fault that run together never leave the host on a freed frame', () => {
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

test('G1 creation allocates nothing, and the size stays what it was', () => {
  const { host, inode, fd, syscalls, run } = setUp(2 ** 40, 0)
  let folios = 0
  inode.forEachFolio(0, inode.pages, () => folios++)
  expect(folios).toBe(0)
  expect(host.memory.tables.readFiles()).toMatchObject([{ size: 2 ** 40 * PAGE, folios: 0 }])
  expect(run(syscalls.ftruncate(fd, PAGE))).toBe(-Errno.EINVAL)
  expect(syscalls.fstat(fd)).toMatchObject({ size: 2 ** 40 * PAGE, blockSize: PAGE })
})

test('G5 fallocate checks in order: VFS, KEEP_SIZE, mode bits, alignment, size', () => {
  const { fd, syscalls, run } = setUp(4, 0)
  // Each call fails this check and every later one that can still fail.
  const calls: [mode: number, offset: number, length: number, errno: number][] = [
    [0x80, -1, 0, Errno.EINVAL],
    [2, 1, 2 ** 63, Errno.EOPNOTSUPP],
    [8, 1, 2 ** 63, Errno.EFBIG],
    [0, 1, 8 * PAGE, Errno.EOPNOTSUPP],
    [1 | 0x10, 1, 8 * PAGE, Errno.EOPNOTSUPP],
    [1, 1, 8 * PAGE, Errno.EINVAL],
    [1, 0, 5 * PAGE, Errno.EINVAL],
    [3, PAGE, 100, Errno.EINVAL],
  ]
  for (const [mode, offset, length, errno] of calls)
    expect(run(syscalls.fallocate(fd, mode, offset, length))).toBe(-errno)
  expect(run(syscalls.fallocate(fd, 3, 4 * PAGE, PAGE))).toBe(0)
  expect(run(syscalls.fallocate(fd, 1, 0, 4 * PAGE))).toBe(0)
})

test('G6 reading, writing and resizing fail; mmap needs the MMAP flag and a shared mapping', () => {
  const { fd, syscalls, run } = setUp(4, 0)
  expect([syscalls.read(fd, 1), syscalls.write(fd, 1)]).toEqual([-Errno.EINVAL, -Errno.EINVAL])
  expect(syscalls.pread(fd, 1, 0)).toBe(-Errno.ESPIPE)
  expect(run(syscalls.ftruncate(fd, 0))).toBe(-Errno.EINVAL)
  for (const type of [1, 2]) expect(run(syscalls.mmap(PAGE, 3, type, fd, 0))).toBe(-Errno.ENODEV)
  const mappable = setUp(4, GmemFlag.MMAP)
  expect(mappable.run(mappable.syscalls.mmap(PAGE, 3, 2, mappable.fd, 0))).toBe(-Errno.EINVAL)
  expect(mappable.run(mappable.syscalls.mmap(PAGE, 3, 1, mappable.fd, 0))).toBeGreaterThan(0)
})

test('G7 a host fault beyond the end of the file is SIGBUS, the bytes before it are written', () => {
  const { fd, syscalls, run } = setUp(2, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
  const at = run(syscalls.mmap(4 * PAGE, 3, 1, fd, 0))
  expect(run(syscalls.store(hva(at + 2 * PAGE - 1), Uint8Array.of(7, 7)))).toMatchObject({ signal: 'SIGBUS' })
  expect(run(syscalls.load(hva(at + 2 * PAGE - 1), 1))).toEqual({ ok: true, value: Uint8Array.of(7) })
})

test('G10 gmem imports no hypervisor', () => {
  const folder = new URL('.', import.meta.url)
  for (const name of readdirSync(folder))
    expect(readFileSync(new URL(name, folder), 'utf8')).not.toMatch(/from '\.\.\/(kvm|gunyah)/)
})
