// A test per row of the version table and of the architectures': what kernels answer differently.

import { describe, expect, test, vi } from 'vitest'
import { Errno } from '../base/errno.ts'
import { writeU64 } from '../base/u64.ts'
import type { GmemFile } from '../gmem/file.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { MpState } from '../hart/mp-state.ts'
import { Mpol } from '../host/mempolicy.ts'
import { MapFlag } from '../host/mmap.ts'
import { Prot } from '../host/vma.ts'
import {
  type BehaviourRow,
  behaviourAt,
  behaviours,
  type LinuxBehaviour,
  type LinuxVersion,
  linuxVersions,
} from './behaviours.ts'
import { type HostProfile, hostProfile, profileByName } from './profiles.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { Cap, gmemPopulate, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryAttributes2 } from './uapi.ts'
import { enableCapRequest } from './uapi-structs.ts'
import { VcpuMaker } from './vcpu-file.ts'

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

/** A riscv host of a version with both VM types and two nodes. */
const ofVersion = (version: LinuxVersion) => {
  const profile = hostProfile('riscv', version)
  const kvm = new KvmHost({ profile, bytes: 64 * MIB, nodes: 2, hooks: new VcpuMaker(() => 0) })
  const plain = kvm.createVm(0)
  const secret = kvm.createVm(1)
  const check = (fd: number, cap: number): number => kvm.ioctl(fd, Kvm.CHECK_EXTENSION, cap)
  return { kvm, plain, secret, check }
}
type At = ReturnType<typeof ofVersion>
const SUCCESS = 'success'
/** A descriptor is one as good as another. */
const outcome = (result: number): number | typeof SUCCESS => (result >= 0 ? SUCCESS : result)

const boundTwice = ({ kvm, plain, secret }: At, gpa: number): number => {
  // Linux before 6.18 gives guest_memfds to VMs with private memory only.
  const { fd } = kvm.system.profile.gmemNeedsPrivateMemory ? secret : plain
  const slot = { flags: MemFlag.GUEST_MEMFD, size: 4 * PAGE, fd: kvm.createGmem(fd, MIB) }
  expect(kvm.setSlot(fd, slot)).toBe(0)
  return kvm.setSlot(fd, { ...slot, slot: 1, gpa, offset: 3 * PAGE })
}

const populate = ({ kvm, secret }: At, source: number): number => {
  const gmem = kvm.createGmem(secret.fd, MIB)
  kvm.setSlot(secret.fd, { flags: MemFlag.GUEST_MEMFD, gpa: MIB, size: MIB, fd: gmem })
  kvm.setAttributes(secret.fd, MIB, MIB, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  return kvm.ioctl(secret.fd, Kvm.GMEM_POPULATE, gmemPopulate(MIB, PAGE, source))
}

const NODES = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)
const ONLY_NODE_1 = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0)

/** A file that a VM without private memory maps with a policy; null where files cannot be mapped. */
const mappedWith = ({ kvm, plain }: At, mode: number, nodes: Uint8Array): number | null => {
  const gmem = kvm.createGmem(plain.fd, MIB, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
  if (gmem < 0) return null
  const start = kvm.run(kvm.syscalls.mmap(MIB, Prot.READ | Prot.WRITE, MapFlag.SHARED, gmem, 0))
  const request = { start, length: MIB, mode, nodes, maxNode: 64, flags: 0 }
  expect(kvm.run(kvm.syscalls.mbind(request))).toBe(0)
  return gmem
}

/** The node that the first page of a file lies on, allocated anew. */
const nodeOfFirstPage = ({ kvm }: At, gmem: number): number => {
  kvm.run(kvm.syscalls.fallocate(gmem, 3, 0, MIB))
  kvm.run(kvm.syscalls.fallocate(gmem, 1, 0, PAGE))
  const file = kvm.process.fds.get(gmem) as GmemFile<unknown>
  return kvm.host.buddy.nodeOf(file.inode.folio(0) ?? -1)
}

interface Question {
  /** What a program sees that asks a kernel. */
  readonly ask: (at: At) => unknown
  /** What it sees from each of the row's versions on. */
  readonly answers: readonly unknown[]
}

const questions: Readonly<Record<keyof LinuxBehaviour, Question>> = {
  gmemNeedsPrivateMemory: {
    ask: ({ kvm, plain, secret, check }) => {
      const gmem = kvm.createGmem(plain.fd, PAGE)
      const slot = kvm.setSlot(plain.fd, { flags: MemFlag.GUEST_MEMFD, size: PAGE, fd: gmem })
      return [slot, ...[plain.fd, secret.fd, kvm.kvm].map((fd) => check(fd, Cap.GUEST_MEMFD))]
    },
    answers: [
      [-Errno.EINVAL, 0, 1, 1],
      [0, 1, 1, 1],
    ],
  },
  gmemFlags: {
    ask: ({ kvm, plain, check }) => [
      check(plain.fd, Cap.GUEST_MEMFD_FLAGS),
      ...[1, 2, 3, 4].map((flags) => outcome(kvm.createGmem(plain.fd, PAGE, flags))),
    ],
    answers: [
      [0, -Errno.EINVAL, -Errno.EINVAL, -Errno.EINVAL, -Errno.EINVAL],
      [3, SUCCESS, SUCCESS, SUCCESS, -Errno.EINVAL],
    ],
  },
  initSharedWithPrivateMemory: {
    ask: ({ kvm, secret, check }) => [
      check(secret.fd, Cap.GUEST_MEMFD_FLAGS) & GmemFlag.INIT_SHARED,
      outcome(kvm.createGmem(secret.fd, PAGE, GmemFlag.INIT_SHARED)),
    ],
    answers: [
      [0, -Errno.EINVAL],
      [2, SUCCESS],
    ],
  },
  preFault: {
    ask: ({ kvm, plain, check }) => {
      const vcpu = kvm.ioctl(plain.fd, Kvm.CREATE_VCPU, 0)
      const request = new DataView(new ArrayBuffer(64))
      writeU64(request, 8, PAGE)
      const result = kvm.ioctl(vcpu, Kvm.PRE_FAULT_MEMORY, new Uint8Array(request.buffer))
      return [check(plain.fd, Cap.PRE_FAULT_MEMORY), result]
    },
    answers: [
      [0, -Errno.EINVAL],
      [1, -Errno.ENOENT],
    ],
  },
  gmemFileSystem: {
    ask: ({ kvm, plain }) => {
      const statfs = kvm.syscalls.fstatfs(kvm.createGmem(plain.fd, PAGE))
      return typeof statfs === 'number' ? statfs : statfs.type
    },
    answers: [0x09041934, 0x474d454d],
  },
  gmemName: {
    ask: ({ kvm, plain }) => kvm.syscalls.readlinkFd(kvm.createGmem(plain.fd, PAGE)),
    answers: ['anon_inode:[kvm-gmem]', '/guest_memfd:[kvm-gmem]'],
  },
  gmemPolicy: {
    ask: (at) => {
      const gmem = mappedWith(at, Mpol.BIND, ONLY_NODE_1)
      return gmem === null ? 0 : nodeOfFirstPage(at, gmem)
    },
    answers: [0, 1],
  },
  interleaveByInode: {
    ask: (at) => {
      const { kvm } = at
      expect(kvm.run(kvm.syscalls.setMempolicy(Mpol.INTERLEAVE, NODES, 64))).toBe(0)
      const gmem = mappedWith(at, Mpol.INTERLEAVE, NODES) ?? kvm.createGmem(at.plain.fd, MIB)
      const first = nodeOfFirstPage(at, gmem)
      return nodeOfFirstPage(at, gmem) === first ? 'the same again' : 'in turns'
    },
    answers: ['in turns', 'the same again'],
  },
  populateTouched: {
    ask: (at) => {
      const source = at.kvm.anonymous(PAGE)
      expect(populate(at, source)).toBe(0)
      return at.kvm.ioctl(at.secret.fd, Kvm.GMEM_POPULATE, gmemPopulate(MIB, PAGE, source))
    },
    answers: [-Errno.EEXIST, 0],
  },
  mpStateReset: {
    ask: ({ kvm, plain, check }) => {
      const vcpu = kvm.ioctl(plain.fd, Kvm.CREATE_VCPU, 0)
      const set = () => kvm.ioctl(vcpu, Kvm.SET_MP_STATE, Uint8Array.of(MpState.INIT_RECEIVED, 0, 0, 0))
      const enable = enableCapRequest(Cap.RISCV_MP_STATE_RESET, 0)
      const offered = check(plain.fd, Cap.RISCV_MP_STATE_RESET)
      return [offered, set(), kvm.ioctl(plain.fd, Kvm.ENABLE_CAP, enable), set()]
    },
    answers: [
      [0, -Errno.EINVAL, -Errno.EINVAL, -Errno.EINVAL],
      [1, -Errno.EINVAL, 0, 0],
    ],
  },
  populateAligned: {
    ask: (at) => populate(at, at.kvm.anonymous(2 * PAGE) + 8),
    answers: [0, -Errno.EINVAL],
  },
  overlappingBind: {
    ask: (at) => boundTwice(at, MIB),
    answers: [-Errno.EINVAL, -Errno.EEXIST],
  },
  signedBindSum: {
    ask: ({ kvm, secret }) => {
      const fd = kvm.createGmem(secret.fd, MIB)
      return kvm.setSlot(secret.fd, { flags: MemFlag.GUEST_MEMFD, size: PAGE, fd, offset: 2 ** 63 - PAGE })
    },
    answers: [0, -Errno.EINVAL],
  },
  bindCommitsLast: {
    ask: (at) => (boundTwice(at, 2 ** 41 - PAGE) === -Errno.EFAULT ? 'too high' : 'bound already'),
    answers: ['bound already', 'too high'],
  },
  inPlaceConversion: {
    ask: ({ kvm, secret, check }) => [
      check(secret.fd, Cap.MEMORY_ATTRIBUTES),
      check(secret.fd, Cap.GUEST_MEMFD_MEMORY_ATTRIBUTES),
      kvm.setAttributes(secret.fd, 0, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE),
      kvm.ioctl(kvm.createGmem(secret.fd, PAGE), Kvm.SET_MEMORY_ATTRIBUTES2, memoryAttributes2(0, PAGE, 0)),
    ],
    answers: [
      [8, 0, 0, -Errno.ENOTTY],
      [0, 8, -Errno.EINVAL, 0],
    ],
  },
  setAttributesEvent: {
    ask: ({ kvm, secret }) => {
      const traced = vi.spyOn(kvm.host, 'trace')
      kvm.setAttributes(secret.fd, 0, PAGE, 0)
      return traced.mock.calls[0]?.slice(0, 4)
    },
    answers: [
      ['kvm_vm_set_mem_attributes', 0, 1, 0],
      ['kvm_set_vm_mem_attributes', 0, 1, 0],
    ],
  },
}

describe('K3 rows of the version table', () => {
  test.each(behaviours.map((row) => ({ ...row, row: row as BehaviourRow })))(
    '$key: $title',
    ({ key, row }) => {
      const { ask, answers } = questions[key]
      expect(answers).toHaveLength(row.since.length)
      // The sides of every change differ, and each version stands on its own side.
      for (let i = 1; i < answers.length; i++) expect(answers[i]).not.toEqual(answers[i - 1])
      const seen = linuxVersions.map((version) => [version, ask(ofVersion(version))])
      expect(seen).toEqual(
        linuxVersions.map((version) => [version, answers[row.since.indexOf(behaviourAt(row, version))]]),
      )
    },
  )

  test('every row has its behaviour, once', () => {
    expect(behaviours.map((row) => row.key).sort()).toEqual(Object.keys(questions).sort())
  })
})

describe('K3 what an architecture decides', () => {
  test('gpaBits, lastPageUsable, slotBeyondGpa', () => {
    const slot = (size: number) => (at: ReturnType<typeof on>) =>
      at.kvm.setSlot(at.fd, { gpa: 2 ** 41 - 2 * PAGE, size })
    expect(both(slot(PAGE))).toEqual({ x86: 0, riscv: 0 })
    expect(both(slot(2 * PAGE))).toEqual({ x86: 0, riscv: -Errno.EFAULT })
    const last = ({ kvm, fd }: ReturnType<typeof on>) => kvm.setSlot(fd, { gpa: 2 ** 52 - PAGE, size: PAGE })
    expect(last(on(x86))).toBe(0)
    expect(both(({ kvm, fd }) => kvm.setSlot(fd, { gpa: 2 ** 52, size: PAGE }))).toEqual({
      x86: -Errno.EINVAL,
      riscv: -Errno.EFAULT,
    })
  })

  test('secondStagePaging', () => {
    expect(both(({ check }) => check(Cap.PRE_FAULT_MEMORY))).toEqual({ x86: 0, riscv: 1 })
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
    for (const cap of [Cap.ONE_REG, Cap.RISCV_MP_STATE_RESET])
      expect(both(({ check }) => check(cap))).toEqual({ x86: 0, riscv: 1 })
    const enable = enableCapRequest(Cap.RISCV_MP_STATE_RESET, 0)
    expect(both(({ kvm, fd }) => kvm.ioctl(fd, Kvm.ENABLE_CAP, enable))).toEqual({
      x86: -Errno.EINVAL,
      riscv: 0,
    })
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
