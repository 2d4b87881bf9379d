import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { profileByName } from './profiles.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { MemFlag } from './uapi.ts'

const PAGE = 4096
const MIB = 2 ** 20

const setUp = () => {
  const kvm = new KvmHost({ profile: profileByName('x86-7.2') })
  return { kvm, syscalls: kvm.syscalls, vm: kvm.createVm(0).fd }
}

/** Descriptors that are no guest_memfd, with their file system's magic number (linux/magic.h). */
const others: [name: string, magic: number, open: (at: ReturnType<typeof setUp>) => number][] = [
  ['memfd', 0x01021994, ({ syscalls }) => syscalls.memfd('memory', MIB)],
  ['memfd_secret', 0x5345434d, ({ syscalls }) => syscalls.memfdSecret(MIB)],
  ['dma_buf', 0x444d4142, ({ syscalls }) => syscalls.openSpecial('dma_buf')],
  ['devmem', 0x454d444d, ({ syscalls }) => syscalls.openSpecial('devmem')],
  ['balloon', 0x13661366, ({ syscalls }) => syscalls.openSpecial('balloon')],
  ['pipe', 0x50495045, ({ syscalls }) => syscalls.openSpecial('pipe')],
  ['eventfd', 0x09041934, ({ syscalls }) => syscalls.openSpecial('eventfd')],
  ['vm', 0x09041934, ({ kvm }) => kvm.createVm(0).fd],
]

describe('G12 descriptors that are no guest_memfd', () => {
  test.each(others)('%s has its own magic and cannot be bound', (_name, magic, open) => {
    const at = setUp()
    const fd = open(at)
    expect(at.syscalls.fstatfs(fd)).toMatchObject({ type: magic })
    const slot = { flags: MemFlag.GUEST_MEMFD, size: PAGE, fd }
    expect(at.kvm.setSlot(at.vm, slot)).toBe(-Errno.EINVAL)
    // One opened O_PATH is not an open file.
    const path = at.syscalls.reopen(fd, 0o10000000)
    expect(at.kvm.setSlot(at.vm, { ...slot, fd: path })).toBe(-Errno.EBADF)
    expect(at.syscalls.fstatfs(path)).toMatchObject({ type: magic })
  })

  test('a guest_memfd opened O_PATH is EBADF, a guest_memfd has the magic of its file system', () => {
    const { kvm, syscalls, vm } = setUp()
    const fd = kvm.createGmem(vm, PAGE)
    expect(syscalls.fstatfs(fd)).toMatchObject({ type: 0x474d454d })
    const path = syscalls.reopen(fd, 0o10000000)
    const slot = { flags: MemFlag.GUEST_MEMFD, size: PAGE }
    expect(kvm.setSlot(vm, { ...slot, fd: path })).toBe(-Errno.EBADF)
    expect(syscalls.reopen(path, 2)).toBe(-Errno.ENXIO)
    expect(kvm.setSlot(vm, { ...slot, fd })).toBe(0)
  })
})

describe('N4 memory the kernel does not touch', () => {
  const mapped = () => {
    const at = setUp()
    const fd = at.syscalls.memfdSecret(MIB)
    const start = at.kvm.run(at.syscalls.mmap(2 * PAGE, 3, 1, fd, 0))
    return { ...at, fd, start }
  }

  test('only the process itself reaches it', () => {
    const { kvm, syscalls, start } = mapped()
    expect(kvm.run(syscalls.store(hva(start), Uint8Array.of(7)))).toMatchObject({ ok: true })
    expect(kvm.run(syscalls.load(hva(start), 1))).toEqual({ ok: true, value: Uint8Array.of(7) })
    expect(() => kvm.run(kvm.process.pin(start, false))).toThrow('EFAULT')
    expect(kvm.run(syscalls.madvise(start, PAGE, 22))).toBe(-Errno.EINVAL)
    expect(kvm.run(syscalls.mlock(start, PAGE))).toBe(-Errno.ENOMEM)
    // It counts as locked.
    expect(kvm.run(syscalls.madvise(start, PAGE, 4))).toBe(-Errno.EINVAL)
  })

  test('it is mapped shared, never executed, and sized once', () => {
    const { kvm, syscalls, fd } = mapped()
    expect(kvm.run(syscalls.mmap(PAGE, 3, 2, fd, 0))).toBe(-Errno.EINVAL)
    expect(kvm.run(syscalls.mmap(PAGE, 5, 1, fd, 0))).toBe(-Errno.EPERM)
    expect(kvm.run(syscalls.ftruncate(fd, 2 * MIB))).toBe(-Errno.EINVAL)
    const empty = syscalls.memfdSecret(0)
    expect(kvm.run(syscalls.ftruncate(empty, PAGE))).toBe(0)
    expect(kvm.run(syscalls.fallocate(fd, 1, 0, PAGE))).toBe(-Errno.EOPNOTSUPP)
    expect([syscalls.read(fd, 1), syscalls.write(fd, 1)]).toEqual([-Errno.EINVAL, -Errno.EINVAL])
  })

  test('its frames go back with the last descriptor and mapping', () => {
    const { kvm, syscalls, fd, start } = mapped()
    const free = kvm.host.buddy.freeFrames
    kvm.run(syscalls.store(hva(start), new Uint8Array(2 * PAGE)))
    expect(kvm.host.buddy.freeFrames).toBe(free - 2)
    kvm.run(syscalls.close(fd))
    expect(kvm.host.buddy.freeFrames).toBe(free - 2)
    kvm.run(syscalls.munmap(start, 2 * PAGE))
    expect(kvm.host.buddy.freeFrames).toBe(free)
  })
})
