// Conversions in place racing guest touches, host accesses, pins, a child process and slot changes: all invariants hold.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { type StoreKind, storeKinds } from '../gmem/folio-store.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import { Prot } from '../host/vma.ts'
import { checkInvariants } from './invariants.ts'
import { hostProfile } from './profiles.ts'
import { TestGuest } from './testing/guest.ts'
import { KvmHost } from './testing/kvm-host.ts'
import {
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MemFlag,
  memoryAttributes2,
  memoryRegion2,
  readErrorOffset,
} from './uapi.ts'
import type { KvmDebug } from './vm.ts'

const PAGE = 4096
const RAM = 0x80000000
const PAGES = 16
const SIZE = PAGES * PAGE
const SHARED = GmemFlag.MMAP | GmemFlag.INIT_SHARED

const memory = HostMemory.create(64 * 2 ** 20)

/** A VM whose RAM is one file, which its process and a child of it map. The host's memory is used again. */
const machine = (store: StoreKind, debug: KvmDebug) => {
  const guest = new TestGuest()
  memory.reset()
  const profile = hostProfile('x86', 'next-in-place')
  const kvm = new KvmHost({ memory, profile, hooks: guest.hooks, debug, parameters: { gmemStore: store } })
  const { syscalls } = kvm
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE, SHARED)
  const mem = kvm.run(syscalls.mmap(SIZE, Prot.READ | Prot.WRITE, MapFlag.SHARED, gmem, 0))
  const child = kvm.run(syscalls.fork())
  const ends = syscalls.pipe2(0)
  if (typeof ends === 'number') throw new Error('no pipe')
  const world = {
    host: kvm.host,
    vms: kvm.system.vms,
    poisoned: true,
  }
  return { guest, kvm, syscalls, child, fd, vm, gmem, mem, pipe: { read: ends[0], write: ends[1] }, world }
}
type Machine = ReturnType<typeof machine>

const page = fc.nat(PAGES - 1)
const value = fc.option(fc.integer({ min: 1, max: 100 }))
const range = fc.tuple(page, fc.integer({ min: 1, max: 8 })).map(([start, length]) => ({
  at: start * PAGE,
  size: Math.min(length, PAGES - start) * PAGE,
}))
const kind = <K extends string>(name: K) => fc.constant(name)
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind('touch'), page, value }) },
  { weight: 6, arbitrary: fc.record({ kind: kind('convert'), range, toPrivate: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: kind('host'), page, value, child: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('pin'), range }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('unpin') }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('punch'), range }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('allocate'), range }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('dontneed'), range }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('slot'), slot: fc.nat(3), create: fc.boolean() }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** The ioctl; a refusal must name a page of the range. */
function* convert(m: Machine, at: number, size: number, toPrivate: boolean): KernelTask<number> {
  const request = memoryAttributes2(at, size, toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0)
  const result = yield* m.syscalls.ioctl(m.gmem, Kvm.SET_MEMORY_ATTRIBUTES2, request)
  if (result !== 0) {
    const offset = readErrorOffset(new DataView(request.buffer))
    expect([result, toPrivate, offset % PAGE]).toEqual([-Errno.EAGAIN, true, 0])
    expect(offset >= at && offset < at + size).toBe(true)
  }
  return result
}

const taskOf = (m: Machine, op: Operation): KernelTask<unknown> => {
  const { syscalls, mem } = m
  switch (op.kind) {
    case 'touch':
      return m.guest.touch(m.vm, RAM + op.page * PAGE, op.value)
    case 'convert':
      return convert(m, op.range.at, op.range.size, op.toPrivate)
    case 'host': {
      const process = op.child ? m.child : syscalls
      const at = hva(mem + op.page * PAGE)
      return op.value === null ? process.load(at, 1) : process.store(at, Uint8Array.of(op.value))
    }
    case 'pin':
      return syscalls.vmsplice(m.pipe.write, mem + op.range.at, op.range.size, 0)
    case 'unpin':
      return (function* () {
        yield { at: 'test/unpin' }
        return syscalls.read(m.pipe.read, SIZE)
      })()
    case 'punch':
      return syscalls.fallocate(m.gmem, 3, op.range.at, op.range.size)
    case 'allocate':
      return syscalls.fallocate(m.gmem, 1, op.range.at, op.range.size)
    case 'dontneed':
      return syscalls.madvise(mem + op.range.at, op.range.size, 4)
    default: {
      // Slots that show overlapping quarters of the file at overlapping addresses: some are refused.
      const at = op.slot * 3 * PAGE
      return syscalls.ioctl(
        m.fd,
        Kvm.SET_USER_MEMORY_REGION2,
        memoryRegion2({
          slot: op.slot,
          flags: MemFlag.GUEST_MEMFD,
          guestPhysAddr: RAM + at,
          memorySize: op.create ? 4 * PAGE : 0,
          userspaceAddr: mem + at,
          guestMemfdOffset: at,
          guestMemfd: m.gmem,
        }),
      )
    }
  }
}

const schedules = (store: StoreKind, debug: KvmDebug) =>
  fc.property(
    fc.array(fc.array(operation, { minLength: 1, maxLength: 5 }), { maxLength: 25 }),
    fc.integer(),
    (rounds, seed) => {
      const m = machine(store, debug)
      for (const slot of [0, 2]) m.kvm.run(taskOf(m, { kind: 'slot', slot, create: true }))
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

test.each(storeKinds)(
  'F1 F2 F3 I1 M1 M2 M3 S1 T1 L1 whatever runs at once, shuffled, every invariant holds at rest: %s',
  (store) => {
    fc.assert(schedules(store, {}), { numRuns: 200 })
  },
)

test('K7 the same search finds the bug when the retry check is left out', () => {
  const details = fc.check(schedules('xarray', { skipRetryCheck: true }), {
    numRuns: 1000,
    seed: 1,
    endOnFailure: true,
  })
  expect(details.failed).toBe(true)
})
