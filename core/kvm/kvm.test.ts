import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { gpa, hva, type Pfn } from '../base/units.ts'
import { PageType } from '../host/folio-table.ts'
import { handleGuestFault } from './fault.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { gmemPopulate, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag } from './uapi.ts'

const RAM = 0x80000000
const SIZE = 0x100000

/** A VM of the software-protected type with 1 MiB of RAM, both halves. */
const machine = (options = {}) => {
  const kvm = new KvmHost(options)
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE)
  const uaddr = kvm.anonymous(SIZE)
  const slot = { slot: 0, flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, uaddr, fd: gmem }
  expect(kvm.setSlot(fd, slot)).toBe(0)
  return { kvm, fd, vm, gmem, uaddr, slot }
}

test('a private page comes from the guest_memfd, zeroed; punching it unmaps it and frees it', () => {
  const { kvm, fd, vm, gmem } = machine()
  expect(kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM + 0x2004), 'write'))).toEqual({ kind: 'resume' })
  const leaf = vm.stage2.leaf(RAM / 4096 + 2)
  expect(leaf).toMatchObject({ writable: true, private: true })
  if (!leaf) throw new Error('not mapped')
  expect(kvm.host.memory.frame(leaf.pfn).every((byte) => byte === 0)).toBe(true)
  expect(kvm.host.memory.folios.refcount[leaf.pfn]).toBe(1)
  expect(kvm.run(kvm.syscalls.fallocate(gmem, 3, 0x2000, 0x1000))).toBe(0)
  expect(vm.stage2.leaf(RAM / 4096 + 2)).toBeNull()
  expect(kvm.host.memory.folios.refcount[leaf.pfn]).toBe(0)
})

test('a shared page is the process page; the process sees what is in it', () => {
  const { kvm, fd, vm, uaddr } = machine()
  vm.declared?.completeShare(RAM / 4096, (RAM + SIZE) / 4096)
  expect(kvm.setAttributes(fd, RAM, SIZE, 0)).toBe(0)
  kvm.run(kvm.syscalls.store(hva(uaddr + 5), Uint8Array.of(42)))
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toEqual({ kind: 'resume' })
  const leaf = vm.stage2.leaf(RAM / 4096)
  if (!leaf) throw new Error('not mapped')
  expect(kvm.host.memory.frame(leaf.pfn)[5]).toBe(42)
  expect(kvm.run(kvm.syscalls.madvise(uaddr, 4096, 4))).toBe(0)
  expect(vm.stage2.leaf(RAM / 4096)).toBeNull()
})

test('a conversion behind the guest’s back is a memory fault with the flag the guest declared', () => {
  const { kvm, fd, vm } = machine()
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toEqual({
    kind: 'memory_fault',
    errno: 'EFAULT',
    gpa: RAM,
    size: 4096,
    private: true,
  })
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toEqual({ kind: 'resume' })
  vm.declared?.completeShare(RAM / 4096, RAM / 4096 + 1)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toMatchObject({
    kind: 'memory_fault',
    private: false,
  })
})

test('no slot is MMIO, a deleted slot with a private gfn is a memory fault', () => {
  const { kvm, fd, vm } = machine()
  expect(kvm.run(handleGuestFault(vm, gpa(0x1000), 'read'))).toEqual({ kind: 'mmio' })
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  expect(kvm.setSlot(fd, { slot: 0, size: 0 })).toBe(0)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toMatchObject({
    kind: 'memory_fault',
    private: true,
  })
})

test('populate copies into private pages, reports partial progress, and refuses shared ones', () => {
  const { kvm, fd, vm, gmem } = machine()
  const source = kvm.anonymous(0x3000)
  kvm.run(kvm.syscalls.store(hva(source), new Uint8Array(0x3000).fill(7)))
  kvm.setAttributes(fd, RAM, 0x2000, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  const request = gmemPopulate(RAM, 0x3000, source)
  expect(kvm.ioctl(fd, Kvm.GMEM_POPULATE, request)).toBe(-Errno.EINVAL)
  const left = new DataView(request.buffer)
  expect([left.getUint32(0, true), left.getUint32(8, true)]).toEqual([RAM + 0x2000, 0x1000])
  kvm.run(handleGuestFault(vm, gpa(RAM + 0x1000), 'read'))
  const leaf = vm.stage2.leaf(RAM / 4096 + 1)
  if (!leaf) throw new Error('not mapped')
  expect(kvm.host.memory.frame(leaf.pfn)[0xfff]).toBe(7)
  expect(kvm.run(kvm.syscalls.close(gmem))).toBe(0)
  expect(vm.stage2.leaf(RAM / 4096 + 1)).toBeNull()
})

test('closing everything gives every frame back', () => {
  const kvm = new KvmHost()
  const free = kvm.host.buddy.freeFrames
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE)
  const uaddr = kvm.anonymous(SIZE)
  kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, uaddr, fd: gmem })
  kvm.setAttributes(fd, RAM, SIZE / 2, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  vm.declared?.completeShare((RAM + SIZE / 2) / 4096, (RAM + SIZE) / 4096)
  for (let at = 0; at < SIZE; at += 4096)
    expect(kvm.run(handleGuestFault(vm, gpa(RAM + at), 'write'))).toEqual({ kind: 'resume' })
  expect(vm.stage2.mapped).toBe(256)
  kvm.run(kvm.syscalls.close(fd))
  expect(kvm.system.vms.size).toBe(1)
  kvm.run(kvm.syscalls.close(gmem))
  expect(kvm.system.vms.size).toBe(0)
  kvm.run(kvm.syscalls.munmap(uaddr, SIZE))
  expect(kvm.host.buddy.freeFrames).toBe(free)
})

/** Takes every free frame but `left`; returns what gives them back. */
const exhaust = (kvm: KvmHost, left: number): (() => void) => {
  const frames: Pfn[] = []
  while (kvm.host.buddy.freeFrames > 0) frames.push(kvm.host.buddy.alloc(0, PageType.kernel, 0, 0))
  for (let i = 0; i < left; i++) kvm.host.buddy.put(frames.pop() as Pfn)
  return () => {
    for (const pfn of frames) kvm.host.buddy.put(pfn)
  }
}

test('F1 a mapping that runs out of memory half way leaves no page table behind', () => {
  const kvm = new KvmHost()
  const free = kvm.host.buddy.freeFrames
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE)
  kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, fd: gmem })
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  // The page, one table, and none for the second.
  const giveBack = exhaust(kvm, 2)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toEqual({ kind: 'error', errno: 'ENOMEM' })
  expect(vm.stage2.tablePages).toBe(4)
  giveBack()
  kvm.run(kvm.syscalls.close(gmem))
  kvm.run(kvm.syscalls.close(fd))
  expect(kvm.host.buddy.freeFrames).toBe(free)
})

test('K1 KVM_CREATE_VM without memory is ENOMEM and takes no row of the VM table', () => {
  const kvm = new KvmHost()
  const giveBack = exhaust(kvm, 3)
  for (let i = 0; i < 5; i++) expect(kvm.ioctl(kvm.kvm, Kvm.CREATE_VM, 1)).toBe(-Errno.ENOMEM)
  giveBack()
  expect(kvm.createVm(1).vm.row).toBe(0)
})
