import fc from 'fast-check'
import { expect, test } from 'vitest'
import { gpa, hva } from '../base/units.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { handleGuestFault } from './fault.ts'
import { checkInvariants } from './invariants.ts'
import { TestGuest } from './testing/guest.ts'
import { KvmHost } from './testing/kvm-host.ts'
import {
  createGuestMemfd,
  gmemPopulate,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MemFlag,
  memoryAttributes,
  memoryRegion2,
} from './uapi.ts'
import type { KvmDebug } from './vm.ts'

const PAGE = 4096
const RAM = 0x80000000
const PAGES = 16
const SIZE = PAGES * PAGE

const memory = HostMemory.create(64 * 2 ** 20)

/** A machine on the one memory, which keeps what the last one left in its frames. */
const machine = (debug: KvmDebug = {}) => {
  const guest = new TestGuest()
  memory.reset()
  const kvm = new KvmHost({ memory, hooks: guest.hooks, debug })
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, 2 * SIZE)
  const uaddr = kvm.anonymous(SIZE)
  const world = { host: kvm.host, vms: kvm.system.vms, poisoned: true }
  return { guest, kvm, fd, vm, gmem, uaddr, world }
}

const page = fc.nat(PAGES - 1)
const range = fc.tuple(page, fc.integer({ min: 1, max: 6 })).map(([start, length]) => ({
  at: start * PAGE,
  size: Math.min(length, PAGES - start) * PAGE,
}))
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('touch' as const),
      page,
      value: fc.option(fc.integer({ min: 1, max: 100 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('convert' as const), range, toPrivate: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('declare' as const), range, toPrivate: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('punch' as const), range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('allocate' as const), range }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('host' as const),
      page,
      value: fc.option(fc.integer({ min: 1, max: 100 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('dontneed' as const), range }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('protect' as const), range, prot: fc.constantFrom(0, 1, 3) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('populate' as const), range }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), slot: fc.nat(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('create' as const), slot: fc.nat(2), page, gmem: fc.boolean() }),
  },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

const taskOf = (m: ReturnType<typeof machine>, op: Operation): KernelTask<unknown> => {
  const { kvm, fd, vm, gmem, uaddr, guest } = m
  const { syscalls } = kvm
  switch (op.kind) {
    case 'touch':
      return guest.touch(vm, RAM + op.page * PAGE, op.value)
    case 'convert':
      return syscalls.ioctl(
        fd,
        Kvm.SET_MEMORY_ATTRIBUTES,
        memoryAttributes(RAM + op.range.at, op.range.size, op.toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0),
      )
    case 'declare':
      return (function* () {
        yield { at: 'test/declare' }
        const start = (RAM + op.range.at) / PAGE
        if (op.toPrivate) vm.declared?.completeUnshare(start, start + op.range.size / PAGE)
        else vm.declared?.completeShare(start, start + op.range.size / PAGE)
      })()
    case 'renew':
      // The file goes away under its slots, and a new one takes its place.
      return (function* () {
        yield* syscalls.close(gmem)
        m.gmem = yield* syscalls.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, createGuestMemfd(2 * SIZE, 0))
      })()
    case 'populate':
      return syscalls.ioctl(
        fd,
        Kvm.GMEM_POPULATE,
        gmemPopulate(RAM + op.range.at, op.range.size, uaddr + op.range.at),
      )
    case 'punch':
      return syscalls.fallocate(gmem, 3, op.range.at, op.range.size)
    case 'allocate':
      return syscalls.fallocate(gmem, 1, op.range.at, op.range.size)
    case 'host':
      return op.value === null
        ? syscalls.load(hva(uaddr + op.page * PAGE), 1)
        : syscalls.store(hva(uaddr + op.page * PAGE), Uint8Array.of(op.value))
    case 'dontneed':
      return syscalls.madvise(uaddr + op.range.at, op.range.size, 4)
    case 'protect':
      return syscalls.mprotect(uaddr + op.range.at, op.range.size, op.prot)
    default: {
      const size = op.kind === 'delete' ? 0 : 4 * PAGE
      const base = op.kind === 'delete' ? 0 : Math.min(op.page, PAGES - 4) * PAGE
      const region = {
        slot: op.slot,
        flags: op.kind === 'create' && op.gmem ? MemFlag.GUEST_MEMFD : 0,
        guestPhysAddr: RAM + base,
        memorySize: size,
        userspaceAddr: uaddr + base,
        guestMemfdOffset: op.slot * 4 * PAGE,
        guestMemfd: gmem,
      }
      return syscalls.ioctl(fd, Kvm.SET_USER_MEMORY_REGION2, memoryRegion2(region))
    }
  }
}

const schedules = (debug: KvmDebug) =>
  fc.property(
    fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { maxLength: 25 }),
    fc.integer(),
    (rounds, seed) => {
      const m = machine(debug)
      m.kvm.setSlot(m.fd, {
        flags: MemFlag.GUEST_MEMFD,
        gpa: RAM,
        size: 4 * PAGE,
        uaddr: m.uaddr,
        fd: m.gmem,
      })
      const { scheduler } = m.kvm.host
      scheduler.setMode({ kind: 'shuffle', seed })
      for (const round of rounds) {
        const tasks = round.map((op) => scheduler.spawn(op.kind, taskOf(m, op)))
        expect(scheduler.pump()).toBe('idle')
        for (const task of tasks) if (task.failed) throw task.error
        expect([...checkInvariants(m.world), ...m.guest.stale(m.vm)]).toEqual([])
      }
    },
  )

test('F1 F2 F3 M1 M2 M3 S1 L1 random ioctls, host accesses and guest touches at once, shuffled: every invariant holds at rest', () => {
  fc.assert(schedules({}), { numRuns: 300 })
})

test('K7 the same search finds the bug when the retry check is left out', () => {
  const details = fc.check(schedules({ skipRetryCheck: true }), {
    numRuns: 1000,
    seed: 1,
    endOnFailure: true,
  })
  expect(details.failed).toBe(true)
})

/** Runs a guest fault until it has looked up its page, then `change` to its end, then the rest of the fault. */
const interleave = (m: ReturnType<typeof machine>, change: KernelTask<number>): string[] => {
  const { scheduler } = m.kvm.host
  const fault = scheduler.spawn('fault', handleGuestFault(m.vm, gpa(RAM), 'write'))
  while (fault.step?.at !== 'kvm_mmu_faultin_pfn/faulted_in') scheduler.step(fault)
  expect(m.kvm.run(change)).toBe(0)
  while (!fault.done) scheduler.step(fault)
  expect(fault.value).toEqual({ kind: 'resume' })
  return checkInvariants(m.world)
}

const privateMachine = (debug: KvmDebug) => {
  const m = machine(debug)
  m.kvm.setSlot(m.fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, uaddr: m.uaddr, fd: m.gmem })
  m.kvm.setAttributes(m.fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  return m
}

const races = {
  'a hole punched': (m: ReturnType<typeof machine>) => m.kvm.syscalls.fallocate(m.gmem, 3, 0, PAGE),
  'a conversion': (m: ReturnType<typeof machine>) =>
    m.kvm.syscalls.ioctl(m.fd, Kvm.SET_MEMORY_ATTRIBUTES, memoryAttributes(RAM, PAGE, 0)),
}

for (const [name, change] of Object.entries(races)) {
  test(`K6 K7 ${name} between a fault's lookup and its mapping makes the fault start over`, () => {
    const m = privateMachine({})
    expect(interleave(m, change(m))).toEqual([])
    expect(m.vm.stage2.leaf(RAM / PAGE)).toBeNull()
  })

  test(`K7 without the check of mmu_invalidate_seq, ${name} there leaves a stale mapping`, () => {
    const m = privateMachine({ skipRetryCheck: true })
    const violations = interleave(m, change(m))
    expect(violations.some((violation) => violation.startsWith('M1'))).toBe(true)
  })
}

test('K7 host memory that goes away between lookup and mapping makes the fault start over', () => {
  const shared = (debug: KvmDebug) => {
    const m = machine(debug)
    m.kvm.setSlot(m.fd, { gpa: RAM, size: SIZE, uaddr: m.uaddr })
    return interleave(m, m.kvm.syscalls.madvise(m.uaddr, PAGE, 4))
  }
  expect(shared({})).toEqual([])
  expect(shared({ skipRetryCheck: true }).some((violation) => violation.startsWith('M1'))).toBe(true)
})
