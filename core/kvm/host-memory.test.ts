// What happens to a VM when its host's memory fails, is copied for a child, or lies on two nodes.

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva, type Pfn } from '../base/units.ts'
import { storeKinds } from '../gmem/folio-store.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { Falloc } from '../host/fallocate.ts'
import { PageType } from '../host/folio-table.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import { Mpol } from '../host/mempolicy.ts'
import { checkInvariants } from './invariants.ts'
import { OneReg } from './one-reg.ts'
import { hostProfile, profileByName } from './profiles.ts'
import { TestGuest } from './testing/guest.ts'
import { InlineMachine, type InlineMachineOptions, RAM } from './testing/inline-vcpus.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { ExitReason, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag } from './uapi.ts'

const PAGE = 4096
const PUNCH = Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE
/** No slot shows it: a store there ends the guest's run with an MMIO exit. */
const DONE = 0x10000000

const PROGRAM_BYTES = 128

/**
 * A program that stores `value` at an address (or loads a byte when null) and then says what a0 is by an MMIO store.
 * Its first instruction is for the exit before it, which completes by going past one.
 */
const touch = (address: number, value: number | null): string => `
  nop
  li t0, ${address}
  ${value === null ? 'lbu a0, 0(t0)' : `li a0, ${value}\n  sb a0, 0(t0)`}
  li t1, ${DONE}
  sd a0, 0(t1)`

const setUp = (options: InlineMachineOptions = {}) => {
  const machine = new InlineMachine(1, options)
  const { kvm, vm } = machine
  const { syscalls, host } = kvm
  let programs = 0
  const inode = (): NonNullable<ReturnType<typeof vm.slotOf>>['gmem'] => vm.slotOf(RAM / PAGE)?.gmem ?? null
  return {
    machine,
    kvm,
    vm,
    syscalls,
    host,
    /** What the guest loads or stored; -errno when KVM_RUN failed. */
    guest: (address: number, value: number | null = null): number => {
      // Each at a new place: what the engine knows of code it ran stays true.
      machine
        .vcpu()
        .oneReg.set(OneReg.PC, BigInt(machine.place(touch(address, value), programs++ * PROGRAM_BYTES)))
      const result = machine.run()
      if (result < 0) return result
      expect(machine.vcpu().run.exitReason).toBe(ExitReason.MMIO)
      return machine.vcpu().run.mmio.low
    },
    fail: (pfn: number) => kvm.run(memoryFailure(host, pfn)),
    folio: (page: number): Pfn => {
      const pfn = inode()?.inode.folio(page) ?? null
      if (pfn === null) throw new Error(`page ${page} has no folio`)
      return pfn
    },
    share: (page: number) => kvm.setAttributes(machine.vmFd, RAM + page * PAGE, PAGE, 0),
    intact: () => expect(checkInvariants({ host, vms: [vm], poisoned: true })).toEqual([]),
  }
}

describe.each(storeKinds)('memory failure, %s', (gmemStore) => {
  test('a private page: EHWPOISON with the exit, neighbours unharmed, a new page after a punch', () => {
    const { machine, kvm, syscalls, guest, fail, folio, intact } = setUp({ parameters: { gmemStore } })
    for (const page of [2, 3, 4]) expect(guest(RAM + page * PAGE, page)).toBe(page)
    const broken = folio(3)
    fail(broken)
    intact()
    expect(guest(RAM + 3 * PAGE + 8)).toBe(-Errno.EHWPOISON)
    const { run } = machine.vcpu()
    expect(run.exitReason).toBe(ExitReason.MEMORY_FAULT)
    expect(run.memoryFault).toEqual({ flags: 8, gpa: RAM + 3 * PAGE, size: PAGE })
    // The folio stays: asking again gives no other.
    expect([folio(3), guest(RAM + 3 * PAGE, 9)]).toEqual([broken, -Errno.EHWPOISON])
    expect([guest(RAM + 2 * PAGE), guest(RAM + 4 * PAGE)]).toEqual([2, 4])
    expect(kvm.run(syscalls.fallocate(machine.gmemFd, PUNCH, 3 * PAGE, PAGE))).toBe(0)
    expect(kvm.host.memory.folios.type(broken)).toBe(PageType.hwpoison)
    expect(guest(RAM + 3 * PAGE)).toBe(0)
    expect(guest(RAM + 3 * PAGE, 5)).toBe(5)
    expect(folio(3)).not.toBe(broken)
    intact()
  })

  test('a page that the host maps: the guest gets EHWPOISON, the host BUS_MCEERR_AR', () => {
    const { machine, kvm, syscalls, guest, fail, folio, intact } = setUp({
      vmType: 0,
      ramFlags: GmemFlag.MMAP | GmemFlag.INIT_SHARED,
      parameters: { gmemStore },
    })
    const at = kvm.run(syscalls.mmap(8 * PAGE, 3, 1, machine.gmemFd, 0))
    kvm.run(syscalls.store(hva(at + 3 * PAGE), Uint8Array.of(7)))
    expect(guest(RAM + 3 * PAGE)).toBe(7)
    fail(folio(3))
    intact()
    const load = () => kvm.run(syscalls.load(hva(at + 3 * PAGE), 1))
    expect(guest(RAM + 3 * PAGE)).toBe(-Errno.EHWPOISON)
    expect(load()).toMatchObject({ code: 'BUS_MCEERR_AR' })
    const other = kvm.run(syscalls.mmap(8 * PAGE, 3, 1, machine.gmemFd, 0))
    expect(kvm.run(syscalls.load(hva(other + 3 * PAGE), 1))).toMatchObject({ code: 'BUS_MCEERR_AR' })
    expect(kvm.run(syscalls.load(hva(at + 2 * PAGE), 1))).toMatchObject({ ok: true })
    kvm.run(syscalls.fallocate(machine.gmemFd, PUNCH, 3 * PAGE, PAGE))
    expect(guest(RAM + 3 * PAGE)).toBe(0)
    // The mark in the page table stays until the mapping gives the page up, as Linux has it.
    expect(load()).toMatchObject({ code: 'BUS_MCEERR_AR' })
    kvm.run(syscalls.madvise(at, 8 * PAGE, 4))
    expect(load()).toEqual({ ok: true, value: Uint8Array.of(0) })
    intact()
  })
})

test('large folios: only the 4 KiB that failed are lost', () => {
  const { guest, fail, folio, intact } = setUp({
    bytes: 128 * 2 ** 20,
    ramBytes: 2 * 2 ** 20,
    parameters: { gmemLargeFolios: true },
  })
  for (const page of [1, 100, 101]) guest(RAM + page * PAGE, page)
  fail(folio(100))
  intact()
  expect([1, 100, 101].map((page) => guest(RAM + page * PAGE))).toEqual([1, -Errno.EHWPOISON, 101])
  intact()
})

test('the shared half: EHWPOISON where Linux sends the VMM a SIGBUS, until the host gives the page up', () => {
  const { machine, kvm, syscalls, guest, fail, share, intact } = setUp({ profile: hostProfile('x86', '7.2') })
  share(3)
  expect(guest(RAM + 3 * PAGE, 7)).toBe(7)
  const at = machine.sharedHva + 3 * PAGE
  fail(kvm.process.mappedFrame(at)?.pfn ?? -1)
  intact()
  expect(guest(RAM + 3 * PAGE)).toBe(-Errno.EHWPOISON)
  expect(machine.vcpu().run.memoryFault).toEqual({ flags: 0, gpa: RAM + 3 * PAGE, size: PAGE })
  expect(kvm.run(syscalls.load(hva(at), 1))).toMatchObject({ code: 'BUS_MCEERR_AR' })
  kvm.run(syscalls.madvise(at, PAGE, 4))
  expect(guest(RAM + 3 * PAGE)).toBe(0)
  intact()
})

describe('fork', () => {
  test('the guest writes the copy of the parent, the child keeps what was there', () => {
    const { machine, kvm, syscalls, guest, share, intact } = setUp({ profile: hostProfile('x86', '7.2') })
    share(3)
    expect(guest(RAM + 3 * PAGE, 7)).toBe(7)
    const at = machine.sharedHva + 3 * PAGE
    const child = kvm.run(syscalls.fork())
    intact()
    // A load maps the page without write permission, a store then has it copied.
    expect(guest(RAM + 3 * PAGE)).toBe(7)
    expect(machine.vm.stage2.leaf(RAM / PAGE + 3)?.writable).toBe(false)
    expect(guest(RAM + 3 * PAGE, 8)).toBe(8)
    intact()
    expect(kvm.run(child.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(7) })
    expect(kvm.run(syscalls.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(8) })
    kvm.run(child.store(hva(at), Uint8Array.of(9)))
    expect(guest(RAM + 3 * PAGE)).toBe(8)
    kvm.run(child.exit())
    intact()
  })

  test("KVM's ioctls answer the child EIO, and its copies of the descriptors keep the VM alive", () => {
    const { machine, kvm, syscalls, vm, intact } = setUp()
    const child = kvm.run(syscalls.fork())
    expect(kvm.run(child.ioctl(machine.vmFd, Kvm.CREATE_VCPU, 1))).toBe(-Errno.EIO)
    expect(kvm.run(child.ioctl(machine.fds[0], Kvm.RUN, 0))).toBe(-Errno.EIO)
    let gone = false
    vm.onDestroy = () => {
      gone = true
    }
    intact()
    kvm.run(syscalls.exit())
    expect(gone).toBe(false)
    kvm.run(child.exit())
    expect(gone).toBe(true)
    expect([...kvm.host.processes]).toEqual([])
  })
})

test("guest memory lands where the file's policy says; before 6.19 there is none, and the task's counts", () => {
  const nodesOf = (name: string, taskPolicy: boolean): number[] => {
    const kvm = new KvmHost({ profile: profileByName(name), nodes: 2 })
    const { fd: vmFd, vm } = kvm.createVm(0)
    const fd = kvm.createGmem(vmFd, 8 * PAGE, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
    kvm.setSlot(vmFd, { flags: MemFlag.GUEST_MEMFD, size: 8 * PAGE, fd })
    const at = kvm.run(kvm.syscalls.mmap(8 * PAGE, 3, 1, fd, 0))
    const nodes = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0)
    const bound = { start: at, length: 2 * PAGE, mode: Mpol.BIND, nodes, maxNode: 9, flags: 0 }
    expect(kvm.run(kvm.syscalls.mbind(bound))).toBe(0)
    if (taskPolicy) expect(kvm.run(kvm.syscalls.setMempolicy(Mpol.PREFERRED, nodes, 9))).toBe(0)
    expect(kvm.run(kvm.syscalls.getMempolicy(64, at, 2))).toEqual({ policy: Mpol.BIND, nodes: 2 })
    const guest = new TestGuest()
    return [0, 1, 2].map((page) => {
      kvm.run(guest.touch(vm, page * PAGE, 1))
      return kvm.host.buddy.nodeOf(vm.stage2.leaf(page)?.pfn ?? -1)
    })
  }
  expect(nodesOf('x86-6.18', false)).toEqual([0, 0, 0])
  expect(nodesOf('x86-6.18', true)).toEqual([1, 1, 1])
  expect(nodesOf('x86-6.19', false)).toEqual([1, 1, 0])
  expect(nodesOf('x86-7.2', true)).toEqual([1, 1, 1])
})

test('interleaving a file: turns of the task before 7.2, page index and inode number since', () => {
  const nodesOf = (name: string, files: number): number[] => {
    const kvm = new KvmHost({ profile: profileByName(name), nodes: 2 })
    const { fd: vmFd } = kvm.createVm(0)
    let fd = -1
    for (let i = 0; i < files; i++) fd = kvm.createGmem(vmFd, 8 * PAGE, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
    const at = kvm.run(kvm.syscalls.mmap(8 * PAGE, 3, 1, fd, 0))
    const nodes = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)
    const policy = { start: at, length: 8 * PAGE, mode: Mpol.INTERLEAVE, nodes, maxNode: 9, flags: 0 }
    kvm.run(kvm.syscalls.mbind(policy))
    return [5, 2, 4].map((page) => {
      kvm.run(kvm.syscalls.store(hva(at + page * PAGE), Uint8Array.of(1)))
      return kvm.host.buddy.nodeOf(kvm.process.mappedFrame(at + page * PAGE)?.pfn ?? -1)
    })
  }
  expect(nodesOf('x86-6.19', 1)).toEqual([1, 0, 1])
  expect(nodesOf('x86-6.19', 2)).toEqual([1, 0, 1])
  const [one, two] = [nodesOf('x86-7.2', 1), nodesOf('x86-7.2', 2)]
  expect([one[0] ^ one[1], one[1] ^ one[2]]).toEqual([1, 0])
  expect(two).toEqual(one.map((node) => 1 - node))
})

test('a node that is full and bound to: the guest gets ENOMEM, the other node is left alone', () => {
  const kvm = new KvmHost({ profile: profileByName('x86-7.2'), nodes: 2 })
  const { fd: vmFd, vm } = kvm.createVm(0)
  const fd = kvm.createGmem(vmFd, 8 * PAGE, GmemFlag.MMAP)
  kvm.setSlot(vmFd, { flags: MemFlag.GUEST_MEMFD, size: 8 * PAGE, fd })
  const at = kvm.run(kvm.syscalls.mmap(8 * PAGE, 3, 1, fd, 0))
  const nodes = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0)
  kvm.run(kvm.syscalls.mbind({ start: at, length: 8 * PAGE, mode: Mpol.BIND, nodes, maxNode: 9, flags: 0 }))
  const { buddy } = kvm.host
  while (buddy.freeFramesOf(1) > 0) buddy.tryAlloc(0, PageType.kernel, 0, 0, 1)
  const before = buddy.freeFramesOf(0)
  expect(kvm.run(new TestGuest().touch(vm, 0, 1))).toMatchObject({ kind: 'memory_fault', errno: 'ENOMEM' })
  expect(buddy.freeFramesOf(0)).toBe(before)
})

test('F1 M3 failures that race faults, punches and a fork leave nothing stale and lose no frame', () => {
  for (let seed = 0; seed < 60; seed++) {
    const guest = new TestGuest()
    const kvm = new KvmHost({ profile: profileByName('x86-7.2'), hooks: guest.hooks, poison: false })
    const { host, syscalls } = kvm
    const { fd: vmFd, vm } = kvm.createVm(1)
    const fd = kvm.createGmem(vmFd, 4 * PAGE)
    const uaddr = kvm.anonymous(4 * PAGE)
    kvm.setSlot(vmFd, { flags: MemFlag.GUEST_MEMFD, size: 4 * PAGE, uaddr, fd })
    kvm.setAttributes(vmFd, 0, 2 * PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    for (let page = 0; page < 4; page++) kvm.run(guest.touch(vm, page * PAGE, 1))
    const frames = [0, 1, 2, 3].map((page) => vm.stage2.leaf(page)?.pfn ?? -1)
    host.scheduler.setMode({ kind: 'shuffle', seed })
    const spawn = host.scheduler.spawn.bind(host.scheduler)
    for (const pfn of [frames[0], frames[2]]) spawn('memory_failure', memoryFailure(host, pfn))
    spawn('punch', syscalls.fallocate(fd, PUNCH, 0, 2 * PAGE))
    spawn('dontneed', syscalls.madvise(uaddr + 2 * PAGE, PAGE, 4))
    const forked = spawn('fork', syscalls.fork())
    for (let page = 0; page < 4; page++) spawn('guest', guest.touch(vm, page * PAGE, 2))
    for (const pfn of [frames[0], frames[2]]) expect(pfn).toBeGreaterThan(0)
    expect(host.scheduler.pump()).toBe('idle')
    host.scheduler.setMode({ kind: 'run' })
    const world = { host, vms: [vm] }
    expect([...checkInvariants(world), ...guest.stale(vm)]).toEqual([])
    expect(forked.failed).toBe(false)
    if (forked.value) kvm.run(forked.value.exit())
    expect(checkInvariants(world)).toEqual([])
    expect(host.buddy.hardwareCorrupted).toBe(2)
  }
})
