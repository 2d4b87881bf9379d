// Random guest touches, conversions, holes, allocations and host accesses over large and small folios at once, in any
// order of their steps, against arrays of one byte a page. Calls of one round touch different pages, so each has one
// right answer; they meet in the 2 MiB that they share.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hva } from '../base/units.ts'
import { compactMemory } from '../host/compaction.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { checkInvariants } from './invariants.ts'
import { hostProfile } from './profiles.ts'
import { TestGuest } from './testing/guest.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryAttributes, memoryAttributes2 } from './uapi.ts'

const PAGE = 4096
const RAM = 0x80000000
/** Two times 2 MiB, and a tail that no large folio fits in. */
const PAGES = 1024 + 40
const SIZE = PAGES * PAGE
const MMAP = 1
const MAP_SHARED = 1
const READ_WRITE = 3

const memory = HostMemory.create(64 * 2 ** 20)

type Mode = 'classic' | 'in place'

const machine = (mode: Mode, gmemStore: 'xarray' | 'filemap') => {
  const guest = new TestGuest()
  memory.reset()
  const profile = hostProfile('x86', mode === 'classic' ? '7.2' : 'next-in-place')
  const parameters = { gmemStore, gmemLargeFolios: true }
  const kvm = new KvmHost({ memory, hooks: guest.hooks, profile, parameters })
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE, mode === 'classic' ? 0 : MMAP)
  const uaddr =
    mode === 'classic'
      ? kvm.anonymous(SIZE)
      : kvm.run(kvm.syscalls.mmap(SIZE, READ_WRITE, MAP_SHARED, gmem, 0))
  kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, uaddr, fd: gmem })
  if (mode === 'classic') kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  const world = { host: kvm.host, vms: kvm.system.vms, poisoned: true }
  return { mode, guest, kvm, fd, vm, gmem, uaddr, world }
}
type Machine = ReturnType<typeof machine>

/** One byte a page; where pages are converted in place both halves are the same. */
class Model {
  readonly private = new Uint8Array(PAGES)
  readonly shared: Uint8Array
  readonly isPrivate = new Uint8Array(PAGES).fill(1)

  constructor(mode: Mode) {
    this.shared = mode === 'classic' ? new Uint8Array(PAGES) : this.private
  }

  half(page: number): Uint8Array {
    return this.isPrivate[page] ? this.private : this.shared
  }
}

const edge = fc.oneof(
  fc.constantFrom(0, 1, 200, 510, 511, 512, 513, 700, 1023, 1024, PAGES - 1),
  fc.nat(PAGES - 1),
)
const range = fc
  .tuple(edge, fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom(100, 512, 513, 1024)))
  .map(([start, pages]) => ({ start, end: Math.min(PAGES, start + pages) }))
const onePage = edge.map((start) => ({ start, end: start + 1 }))
/** Neither 0 nor the poison of freed frames. */
const value = fc.option(fc.integer({ min: 1, max: 100 }))
const call = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('touch' as const), range: onePage, value }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('host' as const), range: onePage, value }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('convert' as const), range, private: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('punch' as const), range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('allocate' as const), range }) },
  // Alone in its round: what compaction holds for a moment may refuse a conversion.
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      range: fc.constant({ start: 0, end: PAGES }),
    }),
  },
)
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never

const taskOf = (m: Machine, op: Call): KernelTask<unknown> => {
  const { syscalls } = m.kvm
  const at = op.range.start * PAGE
  const size = (op.range.end - op.range.start) * PAGE
  switch (op.kind) {
    case 'touch':
      return m.guest.touch(m.vm, RAM + at, op.value)
    case 'host':
      return op.value === null
        ? syscalls.load(hva(m.uaddr + at), 1)
        : syscalls.store(hva(m.uaddr + at), Uint8Array.of(op.value))
    case 'convert': {
      const attributes = op.private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
      return m.mode === 'classic'
        ? syscalls.ioctl(m.fd, Kvm.SET_MEMORY_ATTRIBUTES, memoryAttributes(RAM + at, size, attributes))
        : syscalls.ioctl(m.gmem, Kvm.SET_MEMORY_ATTRIBUTES2, memoryAttributes2(at, size, attributes))
    }
    case 'compact':
      return compactMemory(m.kvm.host)
    default:
      return syscalls.fallocate(m.gmem, op.kind === 'punch' ? 3 : 1, at, size)
  }
}

/** What the call must answer; the model changes as it should. */
const expected = (model: Model, mode: Mode, op: Call): unknown => {
  const { start, end } = op.range
  switch (op.kind) {
    case 'touch': {
      const half = model.half(start)
      if (op.value !== null) half[start] = op.value
      return half[start]
    }
    case 'host':
      if (mode === 'in place' && model.isPrivate[start]) return 'SIGBUS'
      if (op.value !== null) model.shared[start] = op.value
      return op.value === null ? model.shared[start] : 1
    case 'convert':
      model.isPrivate.fill(op.private ? 1 : 0, start, end)
      return 0
    case 'punch':
      model.private.fill(0, start, end)
      return 0
    case 'compact':
      // It may move what it likes, of guest memory nothing: the invariants and the bytes tell.
      return expect.objectContaining({ scanned: expect.any(Number) })
    default:
      return 0
  }
}

/** A call's answer as the model says it. */
const answer = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value
  if ('signal' in value) return value.signal
  if ('value' in value) return value.value instanceof Uint8Array ? value.value[0] : value.value
  return value
}

const disjoint = (calls: readonly Call[]): Call[] => {
  const chosen: Call[] = []
  for (const op of calls)
    if (chosen.every(({ range: { start, end } }) => op.range.end <= start || op.range.start >= end))
      chosen.push(op)
  return chosen
}

for (const mode of ['classic', 'in place'] as const)
  for (const store of ['xarray', 'filemap'] as const)
    describe(`${mode}, ${store}`, () => {
      test('G13 K15 F4 large folios change no answer, and every invariant holds at rest', () => {
        let largeLeaves = 0
        let broken = 0
        fc.assert(
          fc.property(
            fc.array(fc.array(call, { minLength: 1, maxLength: 4 }), { maxLength: 14 }),
            fc.integer(),
            (rounds, seed) => {
              const m = machine(mode, store)
              const model = new Model(mode)
              const { scheduler } = m.kvm.host
              scheduler.setMode({ kind: 'shuffle', seed })
              for (const round of rounds) {
                const calls = disjoint(round)
                const before = m.vm.stage2.largeLeaves
                const tasks = calls.map((op) => scheduler.spawn(op.kind, taskOf(m, op)))
                expect(scheduler.pump()).toBe('idle')
                for (const [i, op] of calls.entries()) {
                  if (tasks[i].failed) throw tasks[i].error
                  expect([op, answer(tasks[i].value)]).toEqual([op, expected(model, mode, op)])
                }
                expect([...checkInvariants(m.world), ...m.guest.stale(m.vm)]).toEqual([])
                largeLeaves += m.vm.stage2.largeLeaves
                if (m.vm.stage2.largeLeaves < before) broken++
              }
              scheduler.setMode({ kind: 'run' })
              for (let page = 0; page < PAGES; page += 3)
                expect(m.kvm.run(m.guest.touch(m.vm, RAM + page * PAGE, null))).toBe(model.half(page)[page])
            },
          ),
          { numRuns: 20 },
        )
        // The sequences did come by what this is about.
        expect(largeLeaves).toBeGreaterThan(0)
        expect(broken).toBeGreaterThan(0)
      })
    })
