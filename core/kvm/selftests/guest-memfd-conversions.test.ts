// What tools/testing/selftests/kvm/x86/guest_memfd_conversions_test.c asserts (posted with the in-place conversion
// series), a test a line, by real guest code on one vCPU and on two, over both folio stores.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva } from '../../base/units.ts'
import type { StoreKind } from '../../gmem/folio-store.ts'
import { GmemFlag } from '../../gmem/inode.ts'
import { Falloc } from '../../host/fallocate.ts'
import { MapFlag } from '../../host/mmap.ts'
import { Prot } from '../../host/vma.ts'
import { checkInvariants } from '../invariants.ts'
import { hostProfile } from '../profiles.ts'
import { GuestAgent } from '../testing/guest-agent.ts'
import { InlineMachine } from '../testing/inline-vcpus.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryAttributes2, readErrorOffset } from '../uapi.ts'

const PAGE = 4096
const DATA = 2 ** 32
const INIT_PRIVATE = GmemFlag.MMAP
const INIT_SHARED = GmemFlag.MMAP | GmemFlag.INIT_SHARED
const SIGBUS = { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' }
const PUNCH = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
const [A, B, C, D, E] = [...'ABCDE'].map((letter) => letter.charCodeAt(0))
const NEVER = 2 ** 40

const variants = [1, 2].flatMap((vcpus) =>
  (['xarray', 'filemap'] as const).map((store): { vcpus: number; store: StoreKind } => ({ vcpus, store })),
)

describe.each(variants)('guest_memfd_conversions: $vcpus vCPUs, $store', ({ vcpus, store }) => {
  /** One slot over a guest_memfd that the host maps, too. */
  const setUp = (pages: number, flags: number) => {
    const machine = new InlineMachine(vcpus, {
      profile: hostProfile('x86', 'next-in-place'),
      parameters: { gmemStore: store },
    })
    const { kvm, vmFd, vm } = machine
    const { syscalls } = kvm
    const size = pages * PAGE
    const gmem = kvm.createGmem(vmFd, size, flags)
    const mem = kvm.run(syscalls.mmap(size, Prot.READ | Prot.WRITE, MapFlag.SHARED, gmem, 0))
    const slot = { slot: 10, flags: MemFlag.GUEST_MEMFD, gpa: DATA, size, uaddr: mem, fd: gmem }
    expect(kvm.setSlot(vmFd, slot)).toBe(0)
    const agents = machine.fds.map((_, id) => new GuestAgent(machine, id, () => -Errno.EOPNOTSUPP))
    const at = (page: number) => hva(mem + page * PAGE)
    const hostLoad = (page: number) => kvm.run(syscalls.load(at(page), 1))
    const hostStore = (page: number, value: number) => kvm.run(syscalls.store(at(page), Uint8Array.of(value)))
    /** The ioctl: its result, and where the structure says it failed (untouched: NEVER). */
    const convert = (page: number, count: number, toPrivate: boolean) => {
      const attributes = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
      const request = memoryAttributes2(page * PAGE, count * PAGE, attributes)
      new DataView(request.buffer).setBigUint64(32, BigInt(NEVER), true)
      const result = kvm.ioctl(gmem, Kvm.SET_MEMORY_ATTRIBUTES2, request)
      return { result, errorOffset: readErrorOffset(new DataView(request.buffer)) }
    }
    const converts = (page: number, count: number, toPrivate: boolean) =>
      expect(convert(page, count, toPrivate)).toEqual({ result: 0, errorOffset: NEVER })
    /** The host sees one byte and writes another. */
    const hostChanges = (page: number, seen: number, write: number) => {
      expect(hostLoad(page)).toEqual({ ok: true, value: Uint8Array.of(seen) })
      expect(hostStore(page, write)).toEqual({ ok: true, value: 1 })
    }
    /** So does the guest: the first vCPU writes, the last one reads. */
    const guestChanges = (page: number, seen: number, write: number) => {
      expect(agents[agents.length - 1].load(DATA + page * PAGE)).toBe(seen)
      agents[0].store(DATA + page * PAGE, write)
    }
    const hostIsKeptOut = (page: number) => {
      expect(hostLoad(page)).toEqual(SIGBUS)
      expect(hostStore(page, 0xff)).toEqual(SIGBUS)
    }
    const world = { host: kvm.host, vms: [vm] }
    return {
      machine,
      kvm,
      syscalls,
      gmem,
      mem,
      pages,
      convert,
      converts,
      hostChanges,
      guestChanges,
      hostIsKeptOut,
      punch: (page: number) => expect(kvm.run(syscalls.fallocate(gmem, PUNCH, page * PAGE, PAGE))).toBe(0),
      isPrivate: (page: number, seen: number, write: number) => {
        hostIsKeptOut(page)
        guestChanges(page, seen, write)
        hostIsKeptOut(page)
      },
      isShared: (page: number, seen: number, host: number, guest: number) => {
        hostChanges(page, seen, host)
        guestChanges(page, host, guest)
        expect(hostLoad(page)).toEqual({ ok: true, value: Uint8Array.of(guest) })
      },
      check: () => expect(checkInvariants(world)).toEqual([]),
    }
  }

  test('init_private: the guest has the page, host access is SIGBUS', () => {
    const m = setUp(1, INIT_PRIVATE)
    m.isPrivate(0, 0, A)
    m.check()
  })

  test('init_shared: host and guest see what the other writes', () => {
    const m = setUp(1, INIT_SHARED)
    m.isShared(0, 0, A, B)
    m.check()
  })

  test('convert_shared: to private, and back, the bytes stay', () => {
    const m = setUp(1, INIT_SHARED)
    m.isShared(0, 0, A, B)
    m.converts(0, 1, true)
    m.isPrivate(0, B, C)
    m.converts(0, 1, false)
    m.isShared(0, C, D, E)
    m.check()
  })

  test('what the guest wrote while the page was private is what the host sees afterwards', () => {
    const m = setUp(1, INIT_PRIVATE)
    m.isPrivate(0, 0, A)
    m.converts(0, 1, false)
    m.hostChanges(0, A, B)
    m.converts(0, 1, true)
    m.guestChanges(0, B, C)
    m.check()
  })

  test.each([0, 1, 2, 3])('indexing: page %i of 4 is converted, and no other, for host and guest', (page) => {
    const m = setUp(4, INIT_SHARED)
    for (let i = 0; i < 4; i++) m.isShared(i, 0, A, B + i)
    m.converts(page, 1, true)
    for (let i = 0; i < 4; i++) {
      if (i === page) m.isPrivate(i, B + i, C)
      else m.isShared(i, B + i, B + i, B + i)
    }
    m.converts(page, 1, false)
    for (let i = 0; i < 4; i++) m.isShared(i, i === page ? C : B + i, D, E)
    m.check()
  })

  test('before_allocation_shared: to private before there is a page', () => {
    const m = setUp(1, INIT_SHARED)
    m.converts(0, 1, true)
    m.isPrivate(0, 0, A)
    m.check()
  })

  test('before_allocation_private: to shared before there is a page', () => {
    const m = setUp(1, INIT_PRIVATE)
    m.converts(0, 1, false)
    m.isShared(0, 0, A, B)
    m.check()
  })

  test('unallocated_folios: eight pages at once, and back', () => {
    const m = setUp(8, INIT_SHARED)
    m.converts(0, 8, true)
    for (let i = 0; i < 8; i++) m.isPrivate(i, 0, B)
    m.converts(0, 8, false)
    for (let i = 0; i < 8; i++) m.isShared(i, B, C, D)
    m.check()
  })

  test('truncate: a hole punched leaves the state and takes the contents', () => {
    const m = setUp(1, INIT_SHARED)
    m.hostChanges(0, 0, A)
    m.punch(0)
    m.hostChanges(0, 0, A)
    m.converts(0, 1, true)
    m.isPrivate(0, A, B)
    m.punch(0)
    m.isPrivate(0, 0, A)
    m.check()
  })

  test('a private page: host read and host write are both SIGBUS; shared again, both work', () => {
    const m = setUp(2, INIT_SHARED)
    m.hostChanges(1, 0, A)
    m.converts(1, 1, true)
    m.hostIsKeptOut(1)
    m.converts(1, 1, false)
    m.hostChanges(1, A, B)
    m.hostChanges(1, B, C)
    m.check()
  })

  test('a conversion that a signal interrupts is asked for again and succeeds', () => {
    const pages = 2048
    const m = setUp(pages, INIT_SHARED)
    const { scheduler } = m.kvm.host
    expect(m.kvm.run(m.syscalls.fallocate(m.gmem, Falloc.KEEP_SIZE, 0, pages * PAGE))).toBe(0)
    m.hostChanges(0, 0, A)
    const request = memoryAttributes2(0, pages * PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    const interrupted = scheduler.spawn(
      'ioctl',
      m.syscalls.ioctl(m.gmem, Kvm.SET_MEMORY_ATTRIBUTES2, request),
    )
    interrupted.signalPending = true
    // It gives way between two batches of pages, and finds the signal when it goes on.
    expect([scheduler.pump(), scheduler.pump()]).toEqual(['waiting', 'idle'])
    expect(interrupted.value).toBe(-Errno.EINTR)
    m.hostChanges(0, A, B)
    m.converts(0, pages, true)
    m.isPrivate(0, B, C)
    m.check()
  })

  test('forked_accesses: the child loses access with its parent, and gets it back with it', () => {
    const m = setUp(1, INIT_SHARED)
    const run = m.kvm.run.bind(m.kvm)
    const child = run(m.syscalls.fork())
    const childLoad = () => run(child.load(hva(m.mem), 1))
    const childStore = (value: number) => run(child.store(hva(m.mem), Uint8Array.of(value)))
    m.hostChanges(0, 0, A)
    expect(childLoad()).toEqual({ ok: true, value: Uint8Array.of(A) })
    expect(childStore(B)).toEqual({ ok: true, value: 1 })
    m.guestChanges(0, B, C)
    m.converts(0, 1, true)
    for (const access of [childLoad(), childStore(E)]) expect(access).toEqual(SIGBUS)
    m.isPrivate(0, C, D)
    m.converts(0, 1, false)
    expect(childLoad()).toEqual({ ok: true, value: Uint8Array.of(D) })
    m.check()
    run(child.exit())
    m.check()
  })

  test('a child has the descriptor and may convert, too, but the VM is not its own', () => {
    const m = setUp(1, INIT_SHARED)
    const run = m.kvm.run.bind(m.kvm)
    const child = run(m.syscalls.fork())
    const toPrivate = memoryAttributes2(0, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    expect(run(child.ioctl(m.machine.vmFd, Kvm.CHECK_EXTENSION, 0))).toBe(-Errno.EIO)
    expect(run(child.ioctl(m.gmem, Kvm.SET_MEMORY_ATTRIBUTES2, toPrivate))).toBe(0)
    m.isPrivate(0, 0, A)
    run(child.exit())
    m.check()
  })

  describe.each([0, 1, 2, 3])('elevated_refcount: page %i of 4 lies in a pipe', (pinned) => {
    const setUpPinned = () => {
      const m = setUp(4, INIT_SHARED)
      for (let i = 0; i < 4; i++) m.isShared(i, 0, A, B + i)
      const ends = m.syscalls.pipe2(0)
      if (typeof ends === 'number') throw new Error('no pipe')
      const taken = m.kvm.run(m.syscalls.vmsplice(ends[1], m.mem + pinned * PAGE, PAGE, 0))
      expect(taken).toBe(PAGE)
      return { ...m, unpin: () => ends.map((fd) => m.kvm.run(m.syscalls.close(fd))), reader: ends[0] }
    }

    test('the whole range is EAGAIN at that page, and nothing is converted', () => {
      const m = setUpPinned()
      expect(m.convert(0, 4, true)).toEqual({ result: -Errno.EAGAIN, errorOffset: pinned * PAGE })
      for (let i = 0; i < 4; i++) m.isShared(i, B + i, C, B + i)
      m.check()
    })

    test('the other pages convert one by one; the pinned one is EAGAIN', () => {
      const m = setUpPinned()
      for (let i = 0; i < 4; i++) {
        if (i === pinned)
          expect(m.convert(i, 1, true)).toEqual({ result: -Errno.EAGAIN, errorOffset: i * PAGE })
        else m.converts(i, 1, true)
      }
      for (let i = 0; i < 4; i++) {
        if (i === pinned) m.isShared(i, B + i, C, B + i)
        else m.isPrivate(i, B + i, C)
      }
      m.check()
    })

    test('once the pipe lets go of it every page converts, with its contents', () => {
      const m = setUpPinned()
      expect(m.convert(pinned, 1, true).result).toBe(-Errno.EAGAIN)
      m.unpin()
      m.converts(0, 4, true)
      for (let i = 0; i < 4; i++) m.isPrivate(i, B + i, C)
      m.check()
    })

    test('reading the pipe empty unpins as closing does', () => {
      const m = setUpPinned()
      expect(m.syscalls.read(m.reader, PAGE)).toBe(PAGE)
      m.converts(0, 4, true)
      m.check()
    })
  })

  test('a private page cannot be pinned: vmsplice is EFAULT', () => {
    const m = setUp(2, INIT_SHARED)
    m.hostChanges(0, 0, A)
    m.converts(0, 1, true)
    const ends = m.syscalls.pipe2(0)
    if (typeof ends === 'number') throw new Error('no pipe')
    expect(m.kvm.run(m.syscalls.vmsplice(ends[1], m.mem, PAGE, 0))).toBe(-Errno.EFAULT)
    m.check()
  })
})
