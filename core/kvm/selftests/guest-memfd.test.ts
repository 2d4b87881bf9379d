// guest_memfd_test.c of the kernel's selftests, line by line, for every VM type and every set of create flags it takes.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva } from '../../base/units.ts'
import { type StoreKind, storeKinds } from '../../gmem/folio-store.ts'
import { GmemFlag } from '../../gmem/inode.ts'
import { Falloc } from '../../host/fallocate.ts'
import { HostMemory } from '../../host/host-memory.ts'
import { Advice } from '../../host/madvise.ts'
import { Mpol, MpolGet } from '../../host/mempolicy.ts'
import { MapFlag } from '../../host/mmap.ts'
import { checkInvariants } from '../invariants.ts'
import { OneReg } from '../one-reg.ts'
import { type HostProfile, profileByName } from '../profiles.ts'
import { InlineMachine, RAM } from '../testing/inline-vcpus.ts'
import { KvmHost } from '../testing/kvm-host.ts'
import { Cap, ExitReason, Kvm, MemFlag } from '../uapi.ts'

const PAGE = 4096
const PAGES = 4
const SIZE = PAGES * PAGE
const KEEP = Falloc.KEEP_SIZE
const PUNCH = Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE
const READ_WRITE = 3
const { MMAP, INIT_SHARED } = GmemFlag

const memory = HostMemory.create(64 * 2 ** 20)

interface Kind {
  readonly profile: HostProfile
  readonly type: number
  readonly store: StoreKind
  /** Create flags the VM takes. */
  readonly valid: number
}

const makeVm = (profile: HostProfile, type: number, store: StoreKind) => {
  memory.reset()
  const kvm = new KvmHost({ profile, memory, nodes: 2, parameters: { gmemStore: store } })
  const { fd: vmFd, vm } = kvm.createVm(type)
  return { kvm, vmFd, vm }
}

const validFlags = (profile: HostProfile, type: number): number => {
  const { kvm, vmFd } = makeVm(profile, type, 'xarray')
  return kvm.ioctl(vmFd, Kvm.CHECK_EXTENSION, Cap.GUEST_MEMFD_FLAGS)
}

const kinds: Kind[] = ['riscv-7.2', 'x86-7.2', 'riscv-next-in-place'].flatMap((name) => {
  const profile = profileByName(name)
  return profile.vmTypes.flatMap(({ type }) =>
    storeKinds.map((store) => ({ profile, type, store, valid: validFlags(profile, type) })),
  )
})

const setUp = ({ profile, type, store }: Kind, flags: number) => {
  const { kvm, vmFd, vm } = makeVm(profile, type, store)
  const { syscalls, run } = { syscalls: kvm.syscalls, run: kvm.run.bind(kvm) }
  const fd = kvm.createGmem(vmFd, SIZE, flags)
  const map = (length = SIZE): number => run(syscalls.mmap(length, READ_WRITE, MapFlag.SHARED, fd, 0))
  const put = (at: number, value: number, count = 1) =>
    run(syscalls.store(hva(at), new Uint8Array(count).fill(value)))
  /** The value of every byte, or -1 where they differ; the signal of a touch that failed. */
  const get = (at: number, count = 1): number | string => {
    const loaded = run(syscalls.load(hva(at), count))
    if (!loaded.ok) return loaded.signal
    return loaded.value.every((byte) => byte === loaded.value[0]) ? loaded.value[0] : -1
  }
  const punch = (page: number, pages = 1): number =>
    run(syscalls.fallocate(fd, PUNCH, page * PAGE, pages * PAGE))
  const intact = (): void =>
    expect(checkInvariants({ host: kvm.host, vms: [vm], poisoned: true })).toEqual([])
  return { kvm, vmFd, syscalls, run, fd, map, put, get, punch, intact }
}

const flagNames = (flags: number): string =>
  `{${[flags & MMAP ? 'MMAP' : [], flags & INIT_SHARED ? 'INIT_SHARED' : []].flat().join(', ')}}`

describe.each(
  kinds.map((kind) => [`${kind.profile.name}, VM type ${kind.type}, ${kind.store}`, kind] as const),
)('guest_memfd_test: %s', (_name, kind) => {
  test('every single flag bit is accepted iff the capability has it, else EINVAL', () => {
    const { kvm, vmFd } = makeVm(kind.profile, kind.type, kind.store)
    for (let bit = 0; bit < 64; bit++) {
      const fd = kvm.createGmem(vmFd, SIZE, 2 ** bit)
      if (bit < 32 && kind.valid & (1 << bit)) expect(fd).toBeGreaterThanOrEqual(0)
      else expect(fd).toBe(-Errno.EINVAL)
    }
  })

  const sets = [0, MMAP, MMAP | INIT_SHARED].filter((flags) => (flags & ~kind.valid) === 0)
  describe.each(sets.map((flags) => [flagNames(flags), flags] as const))('%s', (_flags, flags) => {
    const mappable = (flags & MMAP) !== 0
    const touchable = (flags & INIT_SHARED) !== 0

    test('sizes that are no multiple of a page are EINVAL', () => {
      const { kvm, vmFd } = setUp(kind, flags)
      for (let size = 1; size < PAGE; size = size * 2 + 1)
        expect(kvm.createGmem(vmFd, size, flags)).toBe(-Errno.EINVAL)
      expect(kvm.createGmem(vmFd, PAGE + 1, flags)).toBe(-Errno.EINVAL)
      expect(kvm.createGmem(vmFd, 0, flags)).toBe(-Errno.EINVAL)
    })

    test('two files of one VM have different inodes, and each keeps its own size', () => {
      const { kvm, vmFd, syscalls, fd } = setUp(kind, flags)
      const other = kvm.createGmem(vmFd, 2 * SIZE, flags)
      const [one, two] = [syscalls.fstat(fd), syscalls.fstat(other)]
      if (typeof one === 'number' || typeof two === 'number') throw new Error('fstat failed')
      expect([one.size, two.size]).toEqual([SIZE, 2 * SIZE])
      expect(one.inode).not.toBe(two.inode)
    })

    test('read, write, pread and pwrite fail', () => {
      const { syscalls, fd } = setUp(kind, flags)
      expect([syscalls.read(fd, 64), syscalls.write(fd, 64)]).toEqual([-Errno.EINVAL, -Errno.EINVAL])
      expect([syscalls.pread(fd, 64, 0), syscalls.pwrite(fd, 64, 0)]).toEqual([-Errno.ESPIPE, -Errno.ESPIPE])
    })

    test('the size and the block size are what fstat says', () => {
      const { syscalls, fd } = setUp(kind, flags)
      expect(syscalls.fstat(fd)).toMatchObject({ size: SIZE, blockSize: PAGE })
    })

    test('fallocate: the whole file, refusals by alignment and size, holes past the end, and again', () => {
      const { syscalls, run, fd, intact } = setUp(kind, flags)
      const call = (mode: number, offset: number, length: number) =>
        run(syscalls.fallocate(fd, mode, offset, length))
      expect(call(KEEP, 0, SIZE)).toBe(0)
      expect(call(KEEP, PAGE - 1, PAGE)).toBe(-Errno.EINVAL)
      expect(call(KEEP, SIZE, PAGE)).toBe(-Errno.EINVAL)
      expect(call(KEEP, SIZE + PAGE, PAGE)).toBe(-Errno.EINVAL)
      expect(call(PUNCH, SIZE, PAGE)).toBe(0)
      expect(call(PUNCH, SIZE + PAGE, PAGE)).toBe(0)
      expect(call(PUNCH, PAGE, PAGE - 1)).toBe(-Errno.EINVAL)
      expect(call(PUNCH, PAGE, PAGE)).toBe(0)
      expect(call(KEEP, PAGE, PAGE)).toBe(0)
      intact()
    })

    test('misaligned holes are EINVAL', () => {
      const { syscalls, run, fd } = setUp(kind, flags)
      const holes = [
        [0, 1],
        [0, PAGE - 1],
        [0, PAGE + 1],
        [1, 1],
        [1, PAGE - 1],
        [1, PAGE],
        [1, PAGE + 1],
        [PAGE, 1],
        [PAGE, PAGE - 1],
        [PAGE, PAGE + 1],
      ]
      for (const [offset, length] of holes)
        expect(run(syscalls.fallocate(fd, PUNCH, offset, length))).toBe(-Errno.EINVAL)
    })

    test('a slot whose offset and size overflow a signed sum is refused', () => {
      const { kvm, vmFd, fd } = setUp(kind, flags)
      const slot = { flags: MemFlag.GUEST_MEMFD, gpa: 2 ** 32, fd }
      const offset = 2 ** 63 - PAGE * 1024
      expect(kvm.setSlot(vmFd, { ...slot, size: 2048 * PAGE, offset })).toBe(-Errno.EINVAL)
      expect(kvm.setSlot(vmFd, { ...slot, size: SIZE, offset: PAGE })).toBe(-Errno.EINVAL)
      expect(kvm.setSlot(vmFd, { ...slot, size: SIZE })).toBe(0)
    })

    if (!mappable)
      test('mmap fails, shared and private', () => {
        const { syscalls, run, fd } = setUp(kind, flags)
        for (const type of [MapFlag.SHARED, MapFlag.PRIVATE])
          expect(run(syscalls.mmap(PAGE, READ_WRITE, type, fd, 0))).toBe(-Errno.ENODEV)
      })

    if (mappable) {
      test('a private mapping fails, a shared one of the whole file works', () => {
        const { syscalls, run, fd, map } = setUp(kind, flags)
        expect(run(syscalls.mmap(SIZE, READ_WRITE, MapFlag.PRIVATE, fd, 0))).toBe(-Errno.EINVAL)
        expect(map()).toBeGreaterThan(0)
      })

      test('mbind reads back through get_mempolicy; an unknown policy is EINVAL', () => {
        const { syscalls, run, map } = setUp(kind, flags)
        const at = map()
        const nodes = (mask: number): Uint8Array => Uint8Array.of(mask, 0, 0, 0, 0, 0, 0, 0)
        const bind = (mode: number, mask: Uint8Array | 0) =>
          run(syscalls.mbind({ start: at, length: SIZE, mode, nodes: mask, maxNode: 9, flags: 0 }))
        const policy = () => run(syscalls.getMempolicy(64, at, MpolGet.ADDR))
        expect(bind(Mpol.INTERLEAVE, nodes(3))).toBe(0)
        expect(policy()).toEqual({ policy: Mpol.INTERLEAVE, nodes: 3 })
        expect(bind(Mpol.BIND, nodes(2))).toBe(0)
        expect(policy()).toEqual({ policy: Mpol.BIND, nodes: 2 })
        expect(bind(Mpol.DEFAULT, 0)).toBe(0)
        expect(policy()).toEqual({ policy: Mpol.DEFAULT, nodes: 0 })
        expect(bind(999, nodes(1))).toBe(-Errno.EINVAL)
      })

      test('MADV_HUGEPAGE works, MADV_COLLAPSE is EINVAL', () => {
        const { syscalls, run, map } = setUp(kind, flags)
        const at = map()
        expect(run(syscalls.madvise(at, SIZE, Advice.HUGEPAGE))).toBe(0)
        expect(run(syscalls.madvise(at, SIZE, 25))).toBe(-Errno.EINVAL)
      })
    }

    if (mappable && !touchable)
      test('any access of the host is SIGBUS', () => {
        const { put, get, map, intact } = setUp(kind, flags)
        const at = map()
        expect(get(at)).toBe('SIGBUS')
        expect(put(at, 0xaa)).toMatchObject({ signal: 'SIGBUS' })
        expect(put(at + SIZE - 1, 0xaa)).toMatchObject({ signal: 'SIGBUS' })
        intact()
      })

    if (touchable) {
      test('a pattern is read back; a hole is zeros, the rest intact; it can be filled again', () => {
        const { map, put, get, punch, intact } = setUp(kind, flags)
        const at = map()
        put(at, 0xaa, SIZE)
        expect(get(at, SIZE)).toBe(0xaa)
        expect(punch(0)).toBe(0)
        expect([get(at, PAGE), get(at + PAGE, SIZE - PAGE)]).toEqual([0, 0xaa])
        put(at, 0xaa, PAGE)
        expect(get(at, SIZE)).toBe(0xaa)
        intact()
      })

      test('a touch past the end of the file is SIGBUS, the bytes before it are written', () => {
        const { map, put, get } = setUp(kind, flags)
        const at = map(2 * SIZE)
        expect(put(at, 0xaa, 2 * SIZE)).toMatchObject({ signal: 'SIGBUS' })
        expect(get(at + SIZE)).toBe('SIGBUS')
        expect(get(at, SIZE)).toBe(0xaa)
      })

      test('after MADV_DONTNEED the same data comes back', () => {
        const { syscalls, run, map, put, get, intact } = setUp(kind, flags)
        const at = map()
        put(at, 0xaa, SIZE)
        expect(run(syscalls.madvise(at, SIZE, Advice.DONTNEED))).toBe(0)
        expect(get(at, SIZE)).toBe(0xaa)
        intact()
      })

      test('pages land on the nodes of the policy, and on new nodes after a hole and a new policy', () => {
        const { kvm, syscalls, run, map, put, punch, intact } = setUp(kind, flags)
        const at = map()
        const bind = (page: number, pages: number, node: number) =>
          run(
            syscalls.mbind({
              start: at + page * PAGE,
              length: pages * PAGE,
              mode: Mpol.BIND,
              nodes: Uint8Array.of(1 << node, 0, 0, 0, 0, 0, 0, 0),
              maxNode: 9,
              flags: 0,
            }),
          )
        const nodes = (): (number | undefined)[] =>
          Array.from({ length: PAGES }, (_, page) => {
            const frame = kvm.process.mappedFrame(at + page * PAGE)
            return frame ? kvm.host.buddy.nodeOf(frame.pfn) : undefined
          })
        bind(0, 2, 0)
        bind(2, 2, 1)
        put(at, 0xaa, SIZE)
        expect(nodes()).toEqual([0, 0, 1, 1])
        bind(0, 1, 1)
        expect(nodes()).toEqual([0, 0, 1, 1])
        punch(0)
        punch(2)
        bind(2, 1, 0)
        put(at, 0xaa, SIZE)
        expect(nodes()).toEqual([1, 0, 0, 1])
        intact()
      })
    }
  })
})

test.each(['riscv-7.2', 'x86-7.2'])(
  '%s, default VM, MMAP and INIT_SHARED, no userspace_addr: host and guest see what the other writes',
  (name) => {
    const machine = new InlineMachine(1, {
      profile: profileByName(name),
      vmType: 0,
      ramFlags: MMAP | INIT_SHARED,
    })
    const { kvm } = machine
    const { syscalls } = kvm
    const data = 4 * PAGE
    const map = (): number => kvm.run(syscalls.mmap(16 * PAGE, READ_WRITE, MapFlag.SHARED, machine.gmemFd, 0))
    const first = map()
    kvm.run(syscalls.store(hva(first + data), new Uint8Array(PAGE).fill(0xaa)))
    // Counts the bytes that are 0xaa into a0 and makes every one 0xff, then touches what no slot shows: MMIO.
    machine.load(`
      li t0, ${RAM + data}
      li t1, ${RAM + data + PAGE}
      li t2, 0xaa
      li t3, 0xff
      mv a0, zero
    next:
      lbu t4, 0(t0)
      bne t4, t2, differs
      addi a0, a0, 1
    differs:
      sb t3, 0(t0)
      addi t0, t0, 1
      bltu t0, t1, next
      li t5, 0x10000000
      sd a0, 0(t5)`)
    kvm.run(syscalls.munmap(first, 16 * PAGE))
    expect(machine.run()).toBe(0)
    const { run } = machine.vcpu()
    expect(run.exitReason).toBe(ExitReason.MMIO)
    expect(run.mmio.low).toBe(PAGE)
    expect(machine.vcpu().oneReg.get(OneReg.PC)).toBeGreaterThan(BigInt(RAM))
    const again = map()
    expect(kvm.run(syscalls.load(hva(again + data), PAGE))).toEqual({
      ok: true,
      value: new Uint8Array(PAGE).fill(0xff),
    })
  },
)
