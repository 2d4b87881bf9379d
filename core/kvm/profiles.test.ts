// A test per row of the profile table: what the two kernels answer differently.

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { writeU64 } from '../base/u64.ts'
import { type HostProfile, profileByName } from './profiles.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { Cap, gmemPopulate, Kvm, MemFlag } from './uapi.ts'

const x86 = profileByName('x86-6.18-default-vm')
const riscv = profileByName('riscv-7.2')
const PAGE = 4096
const MIB = 2 ** 20

const on = (profile: HostProfile) => {
  const kvm = new KvmHost({ profile, bytes: 64 * MIB })
  const { fd, vm } = kvm.createVm(0)
  return { kvm, fd, vm, check: (cap: number) => kvm.ioctl(kvm.kvm, Kvm.CHECK_EXTENSION, cap) }
}

/** Both answers to the same call. */
const both = <T>(call: (at: ReturnType<typeof on>) => T): { x86: T; riscv: T } => ({
  x86: call(on(x86)),
  riscv: call(on(riscv)),
})

describe('K3 rows of the active profile', () => {
  test('gpaBits, slotBeyondGpa', () => {
    const slot = (size: number) => (at: ReturnType<typeof on>) =>
      at.kvm.setSlot(at.fd, { gpa: 2 ** 41 - PAGE, size })
    expect(both(slot(PAGE))).toEqual({ x86: 0, riscv: 0 })
    expect(both(slot(2 * PAGE))).toEqual({ x86: 0, riscv: -Errno.EFAULT })
    expect(both(({ kvm, fd }) => kvm.setSlot(fd, { gpa: 2 ** 46, size: PAGE }))).toEqual({
      x86: -Errno.EINVAL,
      riscv: -Errno.EFAULT,
    })
  })

  test('userAddressBits', () => {
    const slot = ({ kvm, fd }: ReturnType<typeof on>) =>
      kvm.setSlot(fd, { size: PAGE, uaddr: 2 ** 47 - PAGE })
    expect(both(slot)).toEqual({ x86: -Errno.EINVAL, riscv: -Errno.EINVAL })
  })

  test('memslots', () => {
    expect(both(({ check }) => check(Cap.NR_MEMSLOTS))).toEqual({ x86: 32764, riscv: 32767 })
    expect(both(({ kvm, fd }) => kvm.setSlot(fd, { slot: 32764, size: PAGE }))).toEqual({
      x86: -Errno.EINVAL,
      riscv: 0,
    })
  })

  test('maxVcpus', () => {
    expect(both(({ check }) => check(Cap.MAX_VCPUS))).toEqual({ x86: 1024, riscv: 8 })
    expect(on(riscv).kvm.ioctl(on(riscv).fd, Kvm.CREATE_VCPU, 8)).toBe(-Errno.EINVAL)
  })

  test('riscv: capabilities that only RISC-V has', () => {
    expect(both(({ check }) => check(Cap.ONE_REG))).toEqual({ x86: 0, riscv: 1 })
  })

  test('vmGpaBitsCap', () => {
    expect(both(({ check }) => check(Cap.VM_GPA_BITS))).toEqual({ x86: 0, riscv: 41 })
  })

  test('checksSlotMapping: a writable slot over a read-only mapping', () => {
    const slot = (flags: number) => (at: ReturnType<typeof on>) => {
      const { kvm, fd } = at
      const uaddr = kvm.anonymous(2 * PAGE)
      kvm.run(kvm.syscalls.mprotect(uaddr + PAGE, PAGE, 1))
      return kvm.setSlot(fd, { flags, size: 2 * PAGE, uaddr })
    }
    expect(both(slot(0))).toEqual({ x86: 0, riscv: -Errno.EPERM })
    expect(both(slot(MemFlag.READONLY))).toEqual({ x86: 0, riscv: 0 })
  })

  test('readonlyMem', () => {
    expect(both(({ check }) => check(Cap.READONLY_MEM))).toEqual({ x86: 1, riscv: 1 })
    const without = on({ ...riscv, readonlyMem: false })
    expect(without.check(Cap.READONLY_MEM)).toBe(0)
    expect(without.kvm.setSlot(without.fd, { flags: MemFlag.READONLY, size: PAGE })).toBe(-Errno.EINVAL)
  })

  test('unknownVmIoctl, unknownSystemIoctl', () => {
    expect(both(({ kvm, fd }) => kvm.ioctl(fd, 0xaeff))).toEqual({ x86: -Errno.ENOTTY, riscv: -Errno.EINVAL })
    expect(both(({ kvm }) => kvm.ioctl(kvm.kvm, 0xaeff))).toEqual({
      x86: -Errno.EINVAL,
      riscv: -Errno.EINVAL,
    })
  })

  test('overlappingBind', () => {
    const bind = ({ kvm, fd }: ReturnType<typeof on>) => {
      const gmem = kvm.createGmem(fd, MIB)
      const slot = { flags: MemFlag.GUEST_MEMFD, size: 4 * PAGE, fd: gmem }
      expect(kvm.setSlot(fd, slot)).toBe(0)
      return kvm.setSlot(fd, { ...slot, slot: 1, gpa: MIB, offset: 3 * PAGE })
    }
    expect(both(bind)).toEqual({ x86: -Errno.EINVAL, riscv: -Errno.EEXIST })
  })

  test('signedBindSum: an offset whose end passes 2^63', () => {
    const bind = ({ kvm, fd }: ReturnType<typeof on>) =>
      kvm.setSlot(fd, {
        flags: MemFlag.GUEST_MEMFD,
        size: PAGE,
        fd: kvm.createGmem(fd, MIB),
        offset: 2 ** 63 - PAGE,
      })
    expect(both(bind)).toEqual({ x86: 0, riscv: -Errno.EINVAL })
  })

  test('memoryAttributes', () => {
    expect(both(({ check }) => check(Cap.MEMORY_ATTRIBUTES))).toEqual({ x86: 0, riscv: 8 })
    expect(both(({ kvm, fd }) => kvm.setAttributes(fd, 0, PAGE, 0))).toEqual({ x86: -Errno.ENOTTY, riscv: 0 })
  })

  test('populate', () => {
    const request = ({ kvm, fd }: ReturnType<typeof on>) =>
      kvm.ioctl(fd, Kvm.GMEM_POPULATE, gmemPopulate(0, PAGE, 0))
    expect(both(request)).toEqual({ x86: -Errno.ENOTTY, riscv: -Errno.EINVAL })
  })

  test('vmTypes', () => {
    expect(both(({ check }) => check(Cap.VM_TYPES))).toEqual({ x86: 1, riscv: 3 })
    expect(both(({ kvm }) => kvm.ioctl(kvm.kvm, Kvm.CREATE_VM, 1) > 0)).toEqual({ x86: false, riscv: true })
    const { kvm } = on(riscv)
    const flags = (fd: number) => kvm.ioctl(fd, Kvm.CHECK_EXTENSION, Cap.GUEST_MEMFD_FLAGS)
    expect([flags(kvm.createVm(0).fd), flags(kvm.createVm(1).fd)]).toEqual([3, 1])
  })

  test('gmemName, gmemFileSystem', () => {
    const name = ({ kvm, fd }: ReturnType<typeof on>) => {
      const gmem = kvm.createGmem(fd, PAGE)
      return [kvm.syscalls.readlinkFd(gmem), kvm.syscalls.fstatfs(gmem)]
    }
    const shown = both(name)
    expect(shown.x86).toMatchObject(['anon_inode:[kvm-gmem]', { type: 0x09041934 }])
    expect(shown.riscv).toMatchObject(['/guest_memfd:[kvm-gmem]', { type: 0x474d454d }])
  })
})

test('G6 a guest_memfd cannot be opened again, except as a path, which is no file to bind', () => {
  const { kvm, fd } = on(x86)
  const gmem = kvm.createGmem(fd, MIB)
  expect(kvm.syscalls.reopen(gmem, 2)).toBe(-Errno.ENXIO)
  expect(kvm.syscalls.reopen(99, 2)).toBe(-Errno.ENOENT)
  const path = kvm.syscalls.reopen(gmem, 0o10000000)
  expect(kvm.syscalls.fstat(path)).toMatchObject({ size: MIB })
  expect(kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, size: PAGE, fd: path })).toBe(-Errno.EBADF)
  expect(kvm.ioctl(kvm.syscalls.reopen(kvm.kvm, 2), Kvm.GET_API_VERSION)).toBe(12)
})

test('K1 a structure at a bad user address is EFAULT, at a good one it is read', () => {
  const { kvm, fd } = on(riscv)
  expect(kvm.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, 0x1000)).toBe(-Errno.EFAULT)
  expect(kvm.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, new Uint8Array(63))).toBe(-Errno.EFAULT)
  const at = kvm.anonymous(PAGE)
  const view = new DataView(new ArrayBuffer(64))
  writeU64(view, 0, MIB)
  kvm.run(kvm.syscalls.store(at as never, new Uint8Array(view.buffer)))
  expect(kvm.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, at)).toBeGreaterThan(0)
})
