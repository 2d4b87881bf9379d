// What the two folio stores let a host see: references nobody took, compaction, and memory pressure, with a real VM.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { gpa, hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { type StoreKind, storeKinds } from '../gmem/folio-store.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { SbiExtension } from '../hart/sbi.ts'
import { compactMemory } from '../host/compaction.ts'
import { Falloc } from '../host/fallocate.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MemoryHog } from '../host/pressure.ts'
import { pageOut } from '../host/reclaim.ts'
import { handleGuestFault } from './fault.ts'
import { checkInvariants } from './invariants.ts'
import { OneReg } from './one-reg.ts'
import { hostProfile } from './profiles.ts'
import { TestGuest } from './testing/guest.ts'
import { InlineMachine, RAM } from './testing/inline-vcpus.ts'
import { KvmHost } from './testing/kvm-host.ts'
import {
  createGuestMemfd,
  ExitReason,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_MEMORY_EXIT_FLAG_PRIVATE,
  Kvm,
  MemFlag,
  memoryAttributes,
  memoryAttributes2,
  readErrorOffset,
} from './uapi.ts'

const memory = HostMemory.create(64 * 2 ** 20)

/** Pages of the file: a conversion offers others a turn every 1024. */
const PAGES = 2048
const FIRST = 0
const LATER = 1500

/** A guest_memfd whose pages are all there, shared, and converted in place. */
const inPlace = (store: StoreKind) => {
  memory.reset()
  const kvm = new KvmHost({
    memory,
    profile: hostProfile('riscv', 'next-in-place'),
    parameters: { gmemStore: store },
  })
  const { host, syscalls } = kvm
  const { fd: vmFd, vm } = kvm.createVm(1)
  const fd = kvm.createGmem(vmFd, PAGES * PAGE_SIZE, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
  kvm.setSlot(vmFd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: PAGES * PAGE_SIZE, fd })
  expect(kvm.run(syscalls.fallocate(fd, Falloc.KEEP_SIZE, 0, PAGES * PAGE_SIZE))).toBe(0)
  const slot = vm.slotOf(RAM / PAGE_SIZE)
  if (!slot?.gmem) throw new Error('RAM has no guest_memfd')
  const { inode } = slot.gmem
  const folio = (index: number): Pfn => {
    const pfn = inode.folio(index)
    if (pfn === null) throw new Error(`page ${index} has no folio`)
    return pfn
  }
  const request = memoryAttributes2(0, PAGES * PAGE_SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  const toPrivate = () => syscalls.ioctl(fd, Kvm.SET_MEMORY_ATTRIBUTES2, request)
  const errorOffset = (): number => readErrorOffset(new DataView(request.buffer))
  /** Proactive reclaim comes by the frame of a page. */
  const reclaim = (index: number) => pageOut(host, folio(index), folio(index) + 1)
  const check = () => checkInvariants({ host, vms: kvm.system.vms, poisoned: true })
  return { kvm, host, inode, folio, toPrivate, errorOffset, reclaim, check }
}

/** A conversion that stands between two batches of its check, having drained for the first page, when reclaim comes. */
const reclaimMeetsConversion = (store: StoreKind) => {
  const m = inPlace(store)
  const { host, kvm } = m
  kvm.run(host.lru.drainAll())
  kvm.run(m.reclaim(FIRST))
  const conversion = host.scheduler.spawn('convert', m.toPrivate(), 0)
  host.scheduler.pump()
  expect(conversion.step?.at).toBe('kvm_gmem_is_safe_for_conversion/cond_resched')
  expect(m.inode.store.transientReferences(m.folio(FIRST))).toBe(0)
  const damon = host.scheduler.spawn('damon', m.reclaim(LATER), 1)
  while (!damon.done) host.scheduler.step(damon)
  while (host.scheduler.pump() !== 'idle');
  return { ...m, result: conversion.value }
}

test('X5 filemap: a folio put back through a batch after the conversion drained is EAGAIN there; a drain cures it', () => {
  const m = reclaimMeetsConversion('filemap')
  expect([m.result, m.errorOffset()]).toEqual([-Errno.EAGAIN, LATER * PAGE_SIZE])
  expect(m.inode.states?.isUniform(0, PAGES, 'shared')).toBe(true)
  expect(m.inode.store.transientReferences(m.folio(LATER))).toBe(1)
  expect(m.check()).toEqual([])
  expect(m.kvm.run(m.host.lru.drainAll())).toBe(1)
  expect(m.kvm.run(m.toPrivate())).toBe(0)
  expect(m.inode.states?.isUniform(0, PAGES, 'private')).toBe(true)
  expect(m.check()).toEqual([])
})

test('X5 xarray: the same schedule converts at once', () => {
  const m = reclaimMeetsConversion('xarray')
  expect(m.result).toBe(0)
  expect(m.inode.states?.isUniform(0, PAGES, 'private')).toBe(true)
})

test('X5 a new folio still in a batch does not stop a conversion: it drains once', () => {
  const m = inPlace('filemap')
  const last = m.folio(PAGES - 1)
  expect(m.inode.store.transientReferences(last)).toBe(1)
  expect(m.kvm.run(m.toPrivate())).toBe(0)
  expect(m.inode.store.transientReferences(last)).toBe(0)
})

test('X5 compaction holds a folio while it looks: a conversion that comes to it then is EAGAIN, without any drain', () => {
  const m = inPlace('filemap')
  m.kvm.run(m.host.lru.drainAll())
  const compaction = m.host.scheduler.spawn('compact', compactMemory(m.host))
  const pfn = m.folio(7)
  for (let i = 0; i < 100_000 && !m.host.folioLocks.locked(pfn); i++) m.host.scheduler.step(compaction)
  expect(m.kvm.run(m.toPrivate())).toBe(-Errno.EAGAIN)
  expect([m.errorOffset(), m.inode.store.transientReferences(pfn)]).toEqual([7 * PAGE_SIZE, 0])
  while (m.host.scheduler.pump() !== 'idle');
  expect(m.kvm.run(m.toPrivate())).toBe(0)
})

test.each(storeKinds)('X6 %s: compaction moves anonymous memory and never a page of the guest', (store) => {
  const m = inPlace(store)
  const { kvm, host } = m
  const start = kvm.anonymous(64 * PAGE_SIZE)
  for (let page = 0; page < 64; page++)
    kvm.run(kvm.syscalls.store(hva(start + page * PAGE_SIZE), Uint8Array.of(page)))
  kvm.run(host.lru.drainAll())
  const before = Array.from({ length: PAGES }, (_, index) => m.folio(index))
  const report = kvm.run(compactMemory(host))
  expect(report.kinds).toContainEqual(
    expect.objectContaining({ kind: 'anonymous memory', migrated: 64, refused: 0 }),
  )
  expect(report.kinds).toContainEqual(
    expect.objectContaining({
      kind: 'guest_memfd',
      migrated: 0,
      refused: expect.any(Number),
      why:
        store === 'filemap'
          ? 'its mapping is inaccessible: not even isolated'
          : 'on no LRU list: not looked at',
    }),
  )
  expect(Array.from({ length: PAGES }, (_, index) => m.folio(index))).toEqual(before)
  for (let page = 0; page < 64; page++)
    expect(kvm.run(kvm.syscalls.load(hva(start + page * PAGE_SIZE), 1))).toEqual({
      ok: true,
      value: Uint8Array.of(page),
    })
  expect(m.check()).toEqual([])
})

test.each(storeKinds)(
  'X6 %s: compaction beside a host that touches its memory and a guest mapping of it',
  (store) => {
    for (let seed = 0; seed < 20; seed++) {
      memory.reset()
      const kvm = new KvmHost({ memory, parameters: { gmemStore: store } })
      const { host, syscalls } = kvm
      const { fd, vm } = kvm.createVm(0)
      const uaddr = kvm.anonymous(16 * PAGE_SIZE)
      kvm.setSlot(fd, { gpa: RAM, size: 16 * PAGE_SIZE, uaddr })
      for (let page = 0; page < 16; page += 2)
        kvm.run(syscalls.store(hva(uaddr + page * PAGE_SIZE), Uint8Array.of(page)))
      host.scheduler.setMode({ kind: 'shuffle', seed })
      host.scheduler.spawn('compact', compactMemory(host))
      for (let page = 0; page < 16; page++) {
        host.scheduler.spawn('fault', handleGuestFault(vm, gpa(RAM + page * PAGE_SIZE), 'write'))
        host.scheduler.spawn(
          'store',
          syscalls.store(hva(uaddr + page * PAGE_SIZE), Uint8Array.of(page + 100)),
        )
      }
      host.scheduler.pump()
      host.scheduler.setMode({ kind: 'run' })
      for (let page = 0; page < 16; page++)
        expect(kvm.run(syscalls.load(hva(uaddr + page * PAGE_SIZE), 1))).toEqual({
          ok: true,
          value: Uint8Array.of(page + 100),
        })
      expect(checkInvariants({ host, vms: kvm.system.vms, poisoned: true })).toEqual([])
    }
  },
)

/** Exits once, then touches a page that has no folio. */
const TOUCH_PAGE_9 = `
  li t0, 0x1000
  sw zero, 0(t0)
  li t0, ${RAM + 9 * PAGE_SIZE}
  li t1, 42
  sd t1, 0(t0)
  ld t2, 0(t0)
  li a6, 0
  li a7, ${SbiExtension.SRST}
  li a0, 0
  li a1, 0
  ecall
`

test.each(storeKinds)(
  'N8 %s: a guest fault without memory is ENOMEM; when memory is back, the guest goes on',
  (store) => {
    const machine = new InlineMachine(1, { parameters: { gmemStore: store } })
    const { kvm } = machine
    const { host } = kvm
    machine.load(TOUCH_PAGE_9)
    const slot = machine.vm.slotOf(RAM / PAGE_SIZE)
    const inode = slot?.gmem?.inode
    if (!inode) throw new Error('RAM has no guest_memfd')
    const program = inode.folio(0)
    if (program === null) throw new Error('the program has no folio')
    const bytes = host.memory.frame(program).slice()
    const hog = new MemoryHog(host)
    const check = () => checkInvariants({ host, vms: kvm.system.vms, poisoned: true })

    // The program's page and the page tables are there already: only the touch wants memory.
    const { run } = machine.vcpu()
    expect([machine.run(), run.exitReason]).toEqual([0, ExitReason.MMIO])
    kvm.run(hog.keepFree(0))
    expect([machine.run(), run.exitReason]).toEqual([-Errno.ENOMEM, ExitReason.MEMORY_FAULT])
    expect(run.memoryFault).toEqual({
      flags: KVM_MEMORY_EXIT_FLAG_PRIVATE,
      gpa: RAM + 9 * PAGE_SIZE,
      size: PAGE_SIZE,
    })
    expect(hog.report().kinds.find((kind) => kind.kind === 'guest_memfd')).toEqual({
      kind: 'guest_memfd',
      frames: 1,
      reclaimable: 0,
      why:
        store === 'filemap'
          ? 'unevictable: reclaim does not scan that list'
          : 'on no LRU list: reclaim does not see it',
    })
    expect([inode.folio(0), host.memory.frame(program).every((byte, i) => byte === bytes[i])]).toEqual([
      program,
      true,
    ])
    expect(check()).toEqual([])

    kvm.run(hog.keepFree(null))
    expect(machine.run()).toBe(0)
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(machine.vcpu().oneReg.get(OneReg.x(7))).toBe(42n)
    expect(inode.folio(9)).not.toBe(null)
    expect(check()).toEqual([])
  },
)

const RANDOM_PAGES = 16
const page = fc.nat(RANDOM_PAGES - 1)
const range = fc.tuple(page, fc.integer({ min: 1, max: 6 })).map(([start, length]) => ({
  at: start * PAGE_SIZE,
  size: Math.min(length, RANDOM_PAGES - start) * PAGE_SIZE,
}))
const call = fc.oneof(
  fc.record({ kind: fc.constant('touch' as const), page }),
  fc.record({ kind: fc.constant('host' as const), page }),
  fc.record({
    kind: fc.constant('convert' as const),
    range,
    attributes: fc.constantFrom(0, KVM_MEMORY_ATTRIBUTE_PRIVATE),
  }),
  fc.record({ kind: fc.constant('allocate' as const), range }),
  fc.record({ kind: fc.constant('punch' as const), range }),
  fc.record({ kind: fc.constant('renew' as const) }),
  fc.record({ kind: fc.constantFrom('compact' as const, 'reclaim' as const, 'drain' as const) }),
)
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never

test.each(storeKinds)(
  'F1 F2 F3 M1 M3 X2 %s: random calls beside compaction, reclaim and drains, shuffled',
  (store) => {
    const small = HostMemory.create(64 * 2 ** 20)
    fc.assert(
      fc.property(
        fc.array(call, { minLength: 4, maxLength: 24 }),
        fc.nat(),
        fc.boolean(),
        (calls, seed, converts) => {
          small.reset()
          const guest = new TestGuest()
          const profile = hostProfile('riscv', converts ? 'next-in-place' : '7.2')
          const kvm = new KvmHost({
            memory: small,
            hooks: guest.hooks,
            profile,
            parameters: { gmemStore: store },
          })
          const { host, syscalls } = kvm
          const { fd, vm } = kvm.createVm(1)
          const size = RANDOM_PAGES * PAGE_SIZE
          const flags = converts ? GmemFlag.MMAP | GmemFlag.INIT_SHARED : 0
          let gmem = kvm.createGmem(fd, size, flags)
          const uaddr = converts ? kvm.run(syscalls.mmap(size, 3, 1, gmem, 0)) : kvm.anonymous(size)
          kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size, uaddr, fd: gmem })
          const taskOf = (c: Call): KernelTask<unknown> => {
            switch (c.kind) {
              case 'touch':
                return guest.touch(vm, RAM + c.page * PAGE_SIZE, c.page)
              case 'host':
                return syscalls.store(hva(uaddr + c.page * PAGE_SIZE), Uint8Array.of(c.page))
              case 'convert':
                return converts
                  ? syscalls.ioctl(
                      gmem,
                      Kvm.SET_MEMORY_ATTRIBUTES2,
                      memoryAttributes2(c.range.at, c.range.size, c.attributes),
                    )
                  : syscalls.ioctl(
                      fd,
                      Kvm.SET_MEMORY_ATTRIBUTES,
                      memoryAttributes(RAM + c.range.at, c.range.size, c.attributes),
                    )
              case 'allocate':
                return syscalls.fallocate(gmem, 1, c.range.at, c.range.size)
              case 'punch':
                return syscalls.fallocate(gmem, 3, c.range.at, c.range.size)
              case 'renew':
                return (function* () {
                  yield* syscalls.close(gmem)
                  gmem = yield* syscalls.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, createGuestMemfd(size, flags))
                })()
              case 'compact':
                return compactMemory(host)
              case 'reclaim':
                return pageOut(host, small.layout.firstFrame, small.layout.firstFrame + 512)
              case 'drain':
                return host.lru.drainAll()
            }
          }
          host.scheduler.setMode({ kind: 'shuffle', seed })
          for (let i = 0; i < calls.length; i += 3) {
            const tasks = calls.slice(i, i + 3).map((c) => host.scheduler.spawn(c.kind, taskOf(c)))
            host.scheduler.pump()
            for (const task of tasks) if (task.failed) throw task.error
            const world = { host, vms: kvm.system.vms, poisoned: true }
            expect([...checkInvariants(world), ...guest.stale(vm)]).toEqual([])
          }
        },
      ),
      { numRuns: 40 },
    )
  },
)

test('X2 a page table that a lookup refers to for a moment is freed when that lets go', () => {
  memory.reset()
  const kvm = new KvmHost({ memory })
  const { buddy } = kvm.host
  const free = buddy.freeFrames
  const { fd, vm } = kvm.createVm(1)
  const { root } = vm.stage2
  buddy.get(root)
  kvm.run(kvm.syscalls.close(fd))
  expect(buddy.freeFrames).toBe(free - 1)
  buddy.put(root)
  expect(buddy.freeFrames).toBe(free)
})
