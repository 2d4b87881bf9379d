// Dirty logging with real guest code, as dirty_log_test and clear_dirty_log_test of tools/testing/selftests/kvm have it.
// The errno tables were compared with Linux 6.18 on x86-64.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { gpa, hva } from '../../base/units.ts'
import { vcpuStatOffset } from '../../hart/vcpu-stats.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { handleGuestFault } from '../fault.ts'
import { checkInvariants } from '../invariants.ts'
import { OneReg } from '../one-reg.ts'
import { TestGuest } from '../testing/guest.ts'
import { GuestAgent } from '../testing/guest-agent.ts'
import { InlineMachine } from '../testing/inline-vcpus.ts'
import { KvmHost } from '../testing/kvm-host.ts'
import { Cap, ExitReason, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryRegion2 } from '../uapi.ts'
import { clearDirtyLogRequest, dirtyLog, enableCapRequest } from '../uapi-structs.ts'

const PAGE = 4096
const DATA = 0x90000000
const PAGES = 100
const SLOT = 1
const LOG = MemFlag.LOG_DIRTY_PAGES
const NOWHERE = 8

/** A VM with a slot of 100 pages of process memory, and the calls about its log. */
const logger = (kvm: KvmHost, vmFd: number, flags: number = LOG) => {
  const uaddr = kvm.anonymous(PAGES * PAGE)
  const bitmap = kvm.anonymous(PAGE)
  const setSlot = (slotFlags: number, gpa = DATA, size = PAGES * PAGE): number =>
    kvm.setSlot(vmFd, { slot: SLOT, flags: slotFlags, gpa, size, uaddr })
  const load = (): Uint8Array => {
    const loaded = kvm.run(kvm.syscalls.load(hva(bitmap), 24))
    if (!loaded.ok) throw new Error('the bitmap cannot be read')
    return loaded.value
  }
  const get = (slot = SLOT, address = bitmap): number =>
    kvm.ioctl(vmFd, Kvm.GET_DIRTY_LOG, dirtyLog(slot, address))
  const clear = (firstPage: number, pages: number, address = bitmap, slot = SLOT): number =>
    kvm.ioctl(vmFd, Kvm.CLEAR_DIRTY_LOG, clearDirtyLogRequest({ slot, firstPage, pages, bitmap: address }))
  const enable = (cap: number, argument: number, capFlags = 0): number =>
    kvm.ioctl(vmFd, Kvm.ENABLE_CAP, enableCapRequest(cap, argument, capFlags))
  /** KVM_GET_DIRTY_LOG: the pages it names. */
  const dirty = (): number[] => {
    expect(get()).toBe(0)
    return pagesOf(load().subarray(0, 16))
  }
  /** KVM_CLEAR_DIRTY_LOG of some pages. */
  const clearPages = (pages: readonly number[], firstPage = 0, count = PAGES): number => {
    const bytes = new Uint8Array(16)
    for (const page of pages) bytes[(page - firstPage) >> 3] |= 1 << ((page - firstPage) & 7)
    kvm.run(kvm.syscalls.store(hva(bitmap), bytes))
    return clear(firstPage, count)
  }
  expect(setSlot(flags)).toBe(0)
  return { kvm, vmFd, uaddr, bitmap, setSlot, load, get, clear, enable, dirty, clearPages }
}

const pagesOf = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length * 8 }, (_, page) => page).filter(
    (page) => bytes[page >> 3] & (1 << (page & 7)),
  )

const bare = (flags?: number) => {
  const kvm = new KvmHost()
  return logger(kvm, kvm.createVm(1).fd, flags)
}

const running = (vcpus = 1, flags?: number) => {
  const machine = new InlineMachine(vcpus)
  const log = logger(machine.kvm, machine.vmFd, flags)
  const agents = machine.fds.map(
    (_, id) =>
      new GuestAgent(machine, id, () => {
        throw new Error('the guest asks for nothing')
      }),
  )
  const page = (n: number): number => DATA + n * PAGE
  /** Guest faults so far that were no MMIO. */
  const faults = (): number => {
    const { registers } = machine.vcpu()
    return (
      registers.float(vcpuStatOffset('guest_page_faults')) - registers.float(vcpuStatOffset('mmio_exit_user'))
    )
  }
  const violations = (): string[] => checkInvariants({ host: machine.kvm.host, vms: [machine.vm] })
  return { machine, agents, guest: agents[0], page, faults, violations, ...log }
}

describe('errno order', () => {
  test.each<[string, (log: ReturnType<typeof bare>) => number, number]>([
    ['GET of a slot that is not there', ({ get }) => get(5), -Errno.ENOENT],
    ['GET of a slot id that cannot be', ({ get }) => get(32767), -Errno.EINVAL],
    ['GET in another address space', ({ get }) => get(1 << 16), -Errno.EINVAL],
    ['GET to an address that is not mapped', ({ get }) => get(SLOT, NOWHERE), -Errno.EFAULT],
    ['CLEAR of an absent slot', ({ clear }) => clear(0, 64, NOWHERE, 5), -Errno.ENOENT],
    ['CLEAR of an absent slot from page 1', ({ clear }) => clear(1, 64, NOWHERE, 5), -Errno.EINVAL],
    ['CLEAR from a page beyond 2^53', ({ clear }) => clear(2 ** 60, 64, NOWHERE, 5), -Errno.ENOENT],
    ['CLEAR beyond the end', ({ clear }) => clear(128, 0), -Errno.EINVAL],
    ['CLEAR 36 from 64', ({ clear }) => clear(64, 36), 0],
    ['CLEAR 37 from 64', ({ clear }) => clear(64, 37), -Errno.EINVAL],
    ['CLEAR 35 from 64', ({ clear }) => clear(64, 35), -Errno.EINVAL],
    ['CLEAR none', ({ clear }) => clear(0, 0, NOWHERE), 0],
    ['CLEAR 64 of 100', ({ clear }) => clear(0, 64), 0],
    ['CLEAR 63 of 100', ({ clear }) => clear(0, 63), -Errno.EINVAL],
    ['CLEAR 128 of 100, address not mapped', ({ clear }) => clear(0, 128, NOWHERE), -Errno.EINVAL],
    ['CLEAR all, address not mapped', ({ clear }) => clear(0, 100, NOWHERE), -Errno.EFAULT],
    ['manual mode with flags', ({ enable }) => enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 1, 1), -Errno.EINVAL],
    ['manual mode off', ({ enable }) => enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 0), 0],
    ['initially set without manual', ({ enable }) => enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 2), -Errno.EINVAL],
    ['an option nobody knows', ({ enable }) => enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 5), -Errno.EINVAL],
    ['both options', ({ enable }) => enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 3), 0],
    ['a capability that cannot be enabled', ({ enable }) => enable(Cap.USER_MEMORY, 0), -Errno.EINVAL],
    ['the structure unreadable', ({ kvm, vmFd }) => kvm.ioctl(vmFd, Kvm.ENABLE_CAP, NOWHERE), -Errno.EFAULT],
    ['GET unreadable', ({ kvm, vmFd }) => kvm.ioctl(vmFd, Kvm.GET_DIRTY_LOG, NOWHERE), -Errno.EFAULT],
    ['CLEAR unreadable', ({ kvm, vmFd }) => kvm.ioctl(vmFd, Kvm.CLEAR_DIRTY_LOG, NOWHERE), -Errno.EFAULT],
  ])('K1 %s', (_what, call, result) => {
    expect(call(bare())).toBe(result)
  })

  test('K1 a slot that logs nothing: ENOENT before the address is looked at, after the first page', () => {
    const { get, clear } = bare(0)
    expect([get(SLOT, NOWHERE), clear(0, 64, NOWHERE), clear(1, 64)]).toEqual([
      -Errno.ENOENT,
      -Errno.ENOENT,
      -Errno.EINVAL,
    ])
  })

  test('a first page that is no multiple of 64 is seen even where a double cannot tell', () => {
    const { kvm, vmFd, bitmap } = bare()
    const request = clearDirtyLogRequest({ slot: 5, firstPage: 0, pages: 64, bitmap })
    new DataView(request.buffer).setBigUint64(8, 2n ** 60n + 1n, true)
    expect(kvm.ioctl(vmFd, Kvm.CLEAR_DIRTY_LOG, request)).toBe(-Errno.EINVAL)
  })

  test('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 names both options', () => {
    const { kvm } = bare()
    expect(kvm.ioctl(kvm.kvm, Kvm.CHECK_EXTENSION, Cap.MANUAL_DIRTY_LOG_PROTECT2)).toBe(3)
  })
})

describe('what is logged', () => {
  test('the pages the guest wrote, each once per fetch; two longs of bitmap are copied and no byte more', () => {
    const { guest, page, dirty, load, violations, kvm, bitmap, get } = running()
    kvm.run(kvm.syscalls.store(hva(bitmap), new Uint8Array(24).fill(0xff)))
    for (const n of [1, 63, 64, 99]) guest.store(page(n), n)
    expect(violations()).toEqual([])
    expect(get()).toBe(0)
    expect(pagesOf(load())).toEqual([1, 63, 64, 99, ...Array.from({ length: 64 }, (_, i) => 128 + i)])
    expect(dirty()).toEqual([])
    guest.store(page(64), 1)
    guest.store(page(64) + 8, 1)
    expect(dirty()).toEqual([64])
    expect(violations()).toEqual([])
  })

  test('reading marks nothing, and a page read before is marked when it is written', () => {
    const { guest, page, dirty } = running()
    expect(guest.load(page(3))).toBe(0)
    expect(dirty()).toEqual([])
    guest.store(page(3), 7)
    expect(guest.load(page(3))).toBe(7)
    expect(dirty()).toEqual([3])
  })

  test('two vCPUs: what either writes is named, whoever read or wrote it before', () => {
    const { agents, page, dirty } = running(2)
    agents[0].store(page(3), 7)
    expect(agents[1].load(page(3))).toBe(7)
    agents[1].store(page(4), 8)
    expect(dirty()).toEqual([3, 4])
    agents[1].store(page(3), 9)
    expect(agents[0].load(page(3))).toBe(9)
    expect(dirty()).toEqual([3])
  })

  test('a read fault that ends after a write fault of the same page takes no permission away unflushed', () => {
    const { machine, page } = running()
    const { scheduler } = machine.kvm.host
    const read = scheduler.spawn('read', handleGuestFault(machine.vm, gpa(page(3)), 'read'))
    while (read.step?.at !== 'kvm_mmu_faultin_pfn/faulted_in') scheduler.step(read)
    expect(machine.kvm.run(handleGuestFault(machine.vm, gpa(page(3)), 'write'))).toEqual({ kind: 'resume' })
    while (!read.done) scheduler.step(read)
    expect(machine.vm.stage2.leaf(page(3) / PAGE)?.writable).toBe(true)
  })

  test('switched on under a running guest: what was written before is not named, what is written after is', () => {
    const { guest, page, setSlot, dirty, get, violations } = running(1, 0)
    guest.store(page(5), 1)
    guest.store(page(6), 1)
    expect(get()).toBe(-Errno.ENOENT)
    expect(setSlot(LOG)).toBe(0)
    expect(violations()).toEqual([])
    guest.store(page(6), 2)
    expect(guest.load(page(5))).toBe(1)
    expect(dirty()).toEqual([6])
  })

  test('switched off and on again: a new, empty log', () => {
    const { guest, page, setSlot, dirty, get } = running()
    guest.store(page(5), 1)
    expect([setSlot(0), get()]).toEqual([0, -Errno.ENOENT])
    guest.store(page(5), 2)
    expect(setSlot(LOG)).toBe(0)
    expect(dirty()).toEqual([])
    guest.store(page(5), 3)
    expect(dirty()).toEqual([5])
  })

  test('a moved slot takes its log along; a deleted one loses it', () => {
    const { guest, page, setSlot, dirty } = running()
    guest.store(page(70), 1)
    expect(setSlot(LOG, DATA + 0x1000000)).toBe(0)
    guest.store(page(2) + 0x1000000, 1)
    expect(dirty()).toEqual([2, 70])
    guest.store(page(2) + 0x1000000, 1)
    expect(setSlot(0, 0, 0)).toBe(0)
    expect(setSlot(LOG)).toBe(0)
    expect(dirty()).toEqual([])
  })

  test('what the VMM writes through its own mapping is not logged, and the guest sees it', () => {
    const { guest, page, kvm, uaddr, dirty } = running()
    expect(guest.load(page(4))).toBe(0)
    kvm.run(kvm.syscalls.store(hva(uaddr + 4 * PAGE), Uint8Array.of(9)))
    expect(guest.load(page(4))).toBe(9)
    expect(dirty()).toEqual([])
  })

  test('a page table counts: the walk that sets A, and the one that sets D, write it', () => {
    const { machine, kvm, uaddr, dirty, page } = running()
    // One root table in page 7: entry 2 maps the gigabyte at 0x80000000 to itself, readable, writable, executable.
    const entry = new DataView(new ArrayBuffer(8))
    entry.setBigUint64(0, (0x80000n << 10n) | 0xfn, true)
    kvm.run(kvm.syscalls.store(hva(uaddr + 7 * PAGE + 16), new Uint8Array(entry.buffer)))
    machine.load(`
      li t0, 1
      slli t0, t0, 63
      li t1, ${page(7) / PAGE}
      or t0, t0, t1
      li s0, ${page(9)}
      csrw satp, t0
      ld t2, 0(s0)
      ecall
      sd t2, 0(s0)
      ecall`)
    const { oneReg, run } = machine.vcpu()
    oneReg.set(OneReg.x(17), 0x53525354n)
    machine.run()
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(dirty()).toEqual([7])
    machine.vcpu().registers.advancePc(4)
    machine.run()
    expect(dirty()).toEqual([7, 9])
  })

  test('EFAULT comes after the log was taken: that log is lost', () => {
    const { guest, page, get, dirty } = running()
    guest.store(page(1), 1)
    expect(get(SLOT, NOWHERE)).toBe(-Errno.EFAULT)
    expect(dirty()).toEqual([])
  })

  test('a read-only slot logs nothing: the write is an MMIO exit, and host changes are seen', () => {
    const { machine, kvm, uaddr, dirty, page, guest } = running(1, LOG | MemFlag.READONLY)
    kvm.run(kvm.syscalls.store(hva(uaddr), Uint8Array.of(5)))
    expect(guest.load(page(0))).toBe(5)
    machine.load(`li s0, ${page(0)}\nli t0, 77\nsb t0, 3(s0)\nlbu t1, 0(s0)\nli s1, 0x1000\nsb t1, 0(s1)`)
    const { run } = machine.vcpu()
    expect(machine.run()).toBe(0)
    expect(run.exitReason).toBe(ExitReason.MMIO)
    expect(run.mmio).toMatchObject({ gpa: page(0) + 3, length: 1, write: true, low: 77 })
    kvm.run(kvm.syscalls.store(hva(uaddr), Uint8Array.of(6)))
    machine.run()
    expect(run.mmio).toMatchObject({ gpa: 0x1000, low: 6 })
    expect(dirty()).toEqual([])
  })
})

describe('migration', () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('write' as const, 'read' as const),
        page: fc.nat(7),
        value: fc.integer({ min: 1, max: 255 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('fetch' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const) }) },
  )

  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

  test('K14 whatever is written while the log is fetched: copying what it names, in the end once more, copies memory', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 20 }),
        fc.integer(),
        copies,
      ),
      { numRuns: 200 },
    )
  })

  const copies = (rounds: readonly (readonly Step[])[], seed: number): void => {
    const guest = new TestGuest()
    const kvm = new KvmHost({ hooks: guest.hooks, bytes: 32 * 2 ** 20 })
    const { fd, vm } = kvm.createVm(1)
    const { uaddr, bitmap } = logger(kvm, fd)
    const copy = new Uint8Array(8)
    let base = DATA
    const fetch = function* (): KernelTask<void> {
      yield* kvm.syscalls.ioctl(fd, Kvm.GET_DIRTY_LOG, dirtyLog(SLOT, bitmap))
      const named = yield* kvm.syscalls.load(hva(bitmap), 1)
      if (!named.ok) throw new Error('the bitmap cannot be read')
      for (const page of pagesOf(named.value)) {
        const byte = yield* kvm.syscalls.load(hva(uaddr + page * PAGE), 1)
        if (byte.ok) copy[page] = byte.value[0]
      }
    }
    const taskOf = (op: Step): KernelTask<unknown> => {
      if (op.kind === 'fetch') return fetch()
      if (op.kind === 'move') {
        base = base === DATA ? DATA + 0x1000000 : DATA
        return kvm.syscalls.ioctl(
          fd,
          Kvm.SET_USER_MEMORY_REGION2,
          memoryRegion2({
            slot: SLOT,
            flags: LOG,
            guestPhysAddr: base,
            memorySize: PAGES * PAGE,
            userspaceAddr: uaddr,
            guestMemfd: -1,
            guestMemfdOffset: 0,
          }),
        )
      }
      return guest.touch(vm, base + op.page * PAGE, op.kind === 'write' ? op.value : null)
    }
    const { scheduler } = kvm.host
    scheduler.setMode({ kind: 'shuffle', seed })
    for (const round of rounds) {
      const tasks = round.map((op) => scheduler.spawn(op.kind, taskOf(op)))
      expect(scheduler.pump()).toBe('idle')
      for (const task of tasks) if (task.failed) throw task.error
      expect(checkInvariants({ host: kvm.host, vms: [vm] })).toEqual([])
    }
    kvm.run(fetch())
    for (let page = 0; page < copy.length; page++) {
      const byte = kvm.run(kvm.syscalls.load(hva(uaddr + page * PAGE), 1))
      expect(byte).toEqual({ ok: true, value: Uint8Array.of(copy[page]) })
    }
  }
})

describe('manual mode', () => {
  test('GET clears nothing; CLEAR clears what both bitmaps have, and protects that only', () => {
    const { guest, page, enable, dirty, clearPages, faults, violations } = running()
    expect(enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 1)).toBe(0)
    for (const n of [0, 1, 70]) guest.store(page(n), 1)
    expect([dirty(), dirty()]).toEqual([
      [0, 1, 70],
      [0, 1, 70],
    ])
    expect(clearPages([0, 2])).toBe(0)
    expect(dirty()).toEqual([1, 70])
    expect(violations()).toEqual([])
    const before = faults()
    guest.store(page(1), 2)
    guest.store(page(70), 2)
    expect(faults()).toBe(before)
    guest.store(page(0), 2)
    expect(faults()).toBe(before + 1)
    expect(dirty()).toEqual([0, 1, 70])
    expect(clearPages([70], 64, 36)).toBe(0)
    expect(dirty()).toEqual([0, 1])
  })

  test('initially set: every page of the slot is marked and none protected until it is cleared', () => {
    const { guest, page, enable, setSlot, dirty, clearPages, faults } = running(1, 0)
    guest.store(page(8), 1)
    guest.store(page(9), 1)
    expect(enable(Cap.MANUAL_DIRTY_LOG_PROTECT2, 3)).toBe(0)
    expect(setSlot(LOG)).toBe(0)
    expect(dirty()).toEqual(Array.from({ length: PAGES }, (_, page) => page))
    const before = faults()
    guest.store(page(8), 2)
    expect(faults()).toBe(before)
    expect(clearPages([8, 9])).toBe(0)
    guest.store(page(8), 3)
    expect(faults()).toBe(before + 1)
    expect(dirty()).toEqual(Array.from({ length: PAGES }, (_, page) => page).filter((page) => page !== 9))
  })
})

describe('with memory attributes', () => {
  test('a slot cannot both have a guest_memfd and log', () => {
    const { machine, kvm, vmFd, uaddr } = running()
    const slot = { slot: 2, flags: MemFlag.GUEST_MEMFD | LOG, gpa: 0xa0000000, size: PAGE, uaddr }
    expect(kvm.setSlot(vmFd, { ...slot, fd: machine.gmemFd })).toBe(-Errno.EINVAL)
  })

  test('shared pages of a slot without one are logged; a private attribute takes the page away, and the log stays', () => {
    const { guest, page, kvm, vmFd, dirty, machine } = running()
    guest.store(page(1), 1)
    guest.store(page(2), 1)
    expect(kvm.setAttributes(vmFd, page(1), PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
    expect(() => guest.store(page(1), 2)).toThrow()
    expect(machine.vcpu().run.memoryFault).toEqual({ flags: 0, gpa: page(1), size: PAGE })
    expect(dirty()).toEqual([1, 2])
    expect(kvm.setAttributes(vmFd, page(1), PAGE, 0)).toBe(0)
    guest.store(page(1), 3)
    expect(dirty()).toEqual([1])
  })
})
