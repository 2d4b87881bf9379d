// 2 MiB folios under KVM, with real guest code: one fault, one leaf, split on conversion, merged back (SPEC G13, K15).

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { gpa } from '../base/units.ts'
import type { StoreKind } from '../gmem/folio-store.ts'
import { isLargeFolio } from '../gmem/large-folio.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import { VmFloat } from '../host/tables.ts'
import { handleGuestFault } from './fault.ts'
import { checkInvariants } from './invariants.ts'
import { OneReg } from './one-reg.ts'
import { hostProfile } from './profiles.ts'
import { InlineMachine, type InlineMachineOptions, RAM } from './testing/inline-vcpus.ts'
import {
  ExitReason,
  gmemPopulate,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  memoryAttributes,
  memoryAttributes2,
} from './uapi.ts'
import { preFaultRequest } from './uapi-structs.ts'

const PAGE = 4096
const MIB2 = 512 * PAGE
/** The second 2 MiB of RAM: programs are in the first. */
const DATA = RAM + MIB2
const DATA_GFN = DATA / PAGE

const SHUTDOWN = 'li a7, 0x53525354\nli a6, 0\nli a0, 0\nli a1, 0\necall'

/** Stores twice the page's number (never a byte of the poison) at the start of each of the 512 pages from DATA. */
const FILL = `
  li t0, ${DATA}
  li t1, 0
  li t2, 512
  li t3, 4096
fill:
  add t4, t1, t1
  sd t4, 0(t0)
  add t0, t0, t3
  addi t1, t1, 1
  bne t1, t2, fill
  ${SHUTDOWN}
`

/** s0 = the sum of what FILL stored. */
const SUM = `
  li t0, ${DATA}
  li t1, 0
  li t2, 512
  li t3, 4096
  li s0, 0
sum:
  ld t4, 0(t0)
  add s0, s0, t4
  add t0, t0, t3
  addi t1, t1, 1
  bne t1, t2, sum
  ${SHUTDOWN}
`
const TOTAL = 511 * 512

const machine = (large: boolean, options: InlineMachineOptions = {}, gmemStore: StoreKind = 'xarray') =>
  new InlineMachine(1, { ramBytes: 3 * MIB2, ...options, parameters: { gmemLargeFolios: large, gmemStore } })

const inPlace = { profile: hostProfile('riscv', 'next-in-place'), ramFlags: 1 }

const faults = ({ vm }: InlineMachine): number => vm.host.memory.tables.vmFloat(vm.row, VmFloat.GUEST_FAULTS)

const runToShutdown = (m: InlineMachine, source: string): void => {
  m.load(source)
  expect(m.run()).toBe(0)
  expect(m.vcpu().run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
}

const sum = (m: InlineMachine): number => {
  runToShutdown(m, SUM)
  return Number(m.vcpu().oneReg.get(OneReg.x(8)))
}

const check = (m: InlineMachine): void => {
  const { host, system } = m.kvm
  expect(checkInvariants({ host, vms: system.vms, poisoned: true })).toEqual([])
}

const inodeOf = (m: InlineMachine, address = RAM) => {
  const slot = m.vm.slotOf(address / PAGE)
  if (!slot?.gmem) throw new Error('RAM has no guest_memfd')
  return slot.gmem.inode
}

/** The page of RAM at an address is part of a large folio. */
const isLarge = (m: InlineMachine, address: number): boolean => {
  const pfn = inodeOf(m).folio((address - RAM) / PAGE)
  return pfn !== null && isLargeFolio(m.vm.host.memory.folios, pfn)
}

const convert = (m: InlineMachine, address: number, size: number, attributes: number): number =>
  m.kvm.ioctl(m.gmemFd, Kvm.SET_MEMORY_ATTRIBUTES2, memoryAttributes2(address - RAM, size, attributes))

for (const store of ['xarray', 'filemap'] as const)
  describe(`store ${store}`, () => {
    test.each([
      [true, 1],
      [false, 512],
    ])('K15 with large folios %s, a guest that touches 2 MiB takes %d faults', (large, expected) => {
      const m = machine(large, {}, store)
      runToShutdown(m, SHUTDOWN)
      const before = faults(m)
      runToShutdown(m, FILL)
      expect(faults(m) - before).toBe(expected)
      expect(m.vm.stage2.leaf(DATA_GFN + 300)?.level).toBe(large ? 1 : 0)
      expect(sum(m)).toBe(TOTAL)
      check(m)
    })

    test('G13 K15 converting one page in the middle splits folio and leaf and keeps all contents; back, they merge', () => {
      const m = machine(true, inPlace, store)
      runToShutdown(m, FILL)
      const first = inodeOf(m).folio(512)
      const middle = DATA + 200 * PAGE
      expect(convert(m, middle, PAGE, 0)).toBe(0)
      expect([isLarge(m, middle), isLarge(m, DATA)]).toEqual([false, false])
      expect(m.vm.stage2.leaf(DATA_GFN + 200)).toBeNull()
      expect(m.vm.stage2.leaf(DATA_GFN + 199)).toMatchObject({ level: 0, private: true })
      check(m)
      // The pages on either side are there still; the one between is not what the guest declared.
      const before = faults(m)
      runToShutdown(
        m,
        `li t0, ${middle}\nli t1, 4096\nsub t2, t0, t1\nld s0, 0(t2)\nadd t2, t0, t1\nld s1, 0(t2)\n${SHUTDOWN}`,
      )
      expect([
        faults(m) - before,
        m.vcpu().oneReg.get(OneReg.x(8)),
        m.vcpu().oneReg.get(OneReg.x(9)),
      ]).toEqual([0, 398n, 402n])
      expect(m.kvm.run(handleGuestFault(m.vm, gpa(middle), 'read'))).toMatchObject({ kind: 'memory_fault' })
      expect(convert(m, middle, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
      expect([isLarge(m, middle), isLarge(m, DATA), inodeOf(m).folio(512)]).toEqual([true, true, first])
      expect(sum(m)).toBe(TOTAL)
      expect(m.vm.stage2.leaf(DATA_GFN)?.level).toBe(1)
      check(m)
    })

    test('G13 shared memory is mapped at 4 KiB, all 2 MiB of it too', () => {
      const m = machine(true, inPlace, store)
      runToShutdown(m, FILL)
      expect(convert(m, DATA, MIB2, 0)).toBe(0)
      expect(isLarge(m, DATA)).toBe(false)
      m.vm.declared?.completeShare(DATA_GFN, DATA_GFN + 512)
      expect(sum(m)).toBe(TOTAL)
      expect(m.vm.stage2.leaf(DATA_GFN + 7)).toMatchObject({ level: 0, private: false })
      check(m)
    })

    test('G13 a hole in a large folio leaves its other pages where they are; punched whole, a new one comes', () => {
      const m = machine(true, {}, store)
      runToShutdown(m, FILL)
      const free = m.vm.host.buddy.freeFrames
      const { syscalls } = m.kvm
      expect(m.kvm.run(syscalls.fallocate(m.gmemFd, 3, MIB2 + 100 * PAGE, 2 * PAGE))).toBe(0)
      // One frame went to the table that the leaf became.
      expect([isLarge(m, DATA), m.vm.host.buddy.freeFrames]).toEqual([false, free + 1])
      expect(sum(m)).toBe(TOTAL - 2 * (100 + 101))
      check(m)
      expect(m.kvm.run(syscalls.fallocate(m.gmemFd, 3, MIB2, MIB2))).toBe(0)
      check(m)
      const before = faults(m)
      expect(sum(m)).toBe(0)
      expect([isLarge(m, DATA), faults(m) - before]).toEqual([true, 1])
      check(m)
    })
  })

test('K15 an attribute that differs for one page keeps the 2 MiB at 4 KiB leaves, though the folio is large', () => {
  const m = machine(true)
  m.kvm.setAttributes(m.vmFd, DATA + PAGE, PAGE, 0)
  expect(m.kvm.run(handleGuestFault(m.vm, gpa(DATA), 'write'))).toEqual({ kind: 'resume' })
  expect([isLarge(m, DATA), m.vm.stage2.leaf(DATA_GFN)?.level]).toEqual([true, 0])
  m.kvm.setAttributes(m.vmFd, DATA + PAGE, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  m.vm.declared?.completeShare(DATA_GFN + 1, DATA_GFN + 2)
  m.kvm.run(handleGuestFault(m.vm, gpa(DATA + 2 * PAGE), 'write'))
  expect(m.vm.stage2.leaf(DATA_GFN + 2)?.level).toBe(0)
  m.vm.declared?.completeUnshare(DATA_GFN + 1, DATA_GFN + 2)
  m.kvm.run(handleGuestFault(m.vm, gpa(DATA + 3 * PAGE), 'write'))
  expect([m.vm.stage2.leaf(DATA_GFN + 1)?.level, m.vm.stage2.mapped]).toEqual([1, 512])
  // The table that the leaf replaced was given back after a flush.
  expect(m.vm.stage2.hasUnlinked).toBe(false)
  check(m)
})

test('K15 no 2 MiB leaf spans what is being invalidated', () => {
  const m = machine(true)
  const { scheduler } = m.kvm.host
  scheduler.setMode({ kind: 'shuffle', seed: 1 })
  const convert = scheduler.spawn('convert', setPage(m, 1))
  while (convert.step?.at !== 'kvm_vm_set_mem_attributes/store') scheduler.step(convert)
  // Under invalidation is page 1; the fault is for page 0, which nothing keeps out.
  const fault = scheduler.spawn('fault', handleGuestFault(m.vm, gpa(DATA), 'write'))
  while (!fault.done) scheduler.step(fault)
  expect([isLarge(m, DATA), m.vm.stage2.leaf(DATA_GFN)?.level]).toEqual([true, 0])
  while (!convert.done) scheduler.step(convert)
  check(m)
})

const setPage = (m: InlineMachine, page: number) =>
  m.kvm.syscalls.ioctl(m.vmFd, Kvm.SET_MEMORY_ATTRIBUTES, memoryAttributes(DATA + page * PAGE, PAGE, 0))

test.each([
  ['shows only a part of the folio', RAM, MIB2, MIB2 - PAGE, RAM],
  ['shows it askew', RAM + PAGE, 0, 2 * MIB2, DATA + PAGE],
])('K15 a slot that %s maps it at 4 KiB', (_what, base, offset, size, touched) => {
  const m = machine(true)
  m.kvm.setSlot(m.vmFd, { slot: 0, size: 0 })
  const slot = { slot: 1, flags: 4, gpa: base, size, uaddr: m.sharedHva, fd: m.gmemFd, offset }
  expect(m.kvm.setSlot(m.vmFd, slot)).toBe(0)
  expect(m.kvm.run(handleGuestFault(m.vm, gpa(touched), 'write'))).toEqual({ kind: 'resume' })
  expect(m.vm.stage2.leaf(touched / PAGE)?.level).toBe(0)
  const pfn = inodeOf(m, touched).folio(512)
  expect(pfn !== null && isLargeFolio(m.vm.host.memory.folios, pfn)).toBe(true)
  check(m)
})

test('G13 K15 a memory error takes one page from the guest, whatever size its leaf had', () => {
  const m = machine(true)
  runToShutdown(m, FILL)
  const pfn = m.vm.stage2.leaf(DATA_GFN + 50)?.pfn ?? 0
  m.kvm.run(memoryFailure(m.vm.host, pfn))
  check(m)
  expect(m.kvm.run(handleGuestFault(m.vm, gpa(DATA + 50 * PAGE), 'read'))).toMatchObject({
    errno: 'EHWPOISON',
  })
  expect([49, 50, 51].map((page) => m.vm.stage2.leaf(DATA_GFN + page)?.level)).toEqual([0, undefined, 0])
  expect(m.kvm.run(m.kvm.syscalls.fallocate(m.gmemFd, 3, MIB2 + 50 * PAGE, PAGE))).toBe(0)
  expect(sum(m)).toBe(TOTAL - 2 * 50)
  check(m)
})

test('K10 populating page by page is told by page, where a version refuses a page that has contents', () => {
  const m = machine(true, { profile: hostProfile('riscv', '6.18') })
  const populate = (page: number): number =>
    m.kvm.ioctl(m.vmFd, Kvm.GMEM_POPULATE, gmemPopulate(DATA + page * PAGE, PAGE, m.sharedHva))
  expect([populate(0), populate(1), populate(0)]).toEqual([0, 0, -Errno.EEXIST])
  check(m)
})

test('K15 KVM_PRE_FAULT_MEMORY of one page maps the 2 MiB around it', () => {
  const m = machine(true)
  expect(m.kvm.ioctl(m.fds[0], Kvm.PRE_FAULT_MEMORY, preFaultRequest(DATA + 5 * PAGE, PAGE))).toBe(0)
  expect([m.vm.stage2.leaf(DATA_GFN + 400)?.level, faults(m)]).toEqual([1, 1])
  check(m)
})
