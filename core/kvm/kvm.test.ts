import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { gpa, hva, type Pfn } from '../base/units.ts'
import { PageType } from '../host/folio-table.ts'
import { isPrivateGfn } from './attributes.ts'
import { handleGuestFault } from './fault.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { gmemPopulate, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryAttributes } from './uapi.ts'

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

test('M1 G4 a private page comes from the guest_memfd, zeroed; punching it unmaps it and frees it', () => {
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

test('M1 a shared page is the process page; the process sees what is in it', () => {
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

test('K8 a conversion behind the guest’s back is a memory fault with the flag the guest declared', () => {
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

test('K5 no slot is MMIO, a deleted slot with a private gfn is a memory fault', () => {
  const { kvm, fd, vm } = machine()
  expect(kvm.run(handleGuestFault(vm, gpa(0x1000), 'read'))).toEqual({ kind: 'mmio' })
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  expect(kvm.setSlot(fd, { slot: 0, size: 0 })).toBe(0)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toMatchObject({
    kind: 'memory_fault',
    private: true,
  })
})

test('K10 populate copies into private pages, reports partial progress, and refuses shared ones', () => {
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

test('F3 closing everything gives every frame back', () => {
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

test('G2 creation of a guest_memfd: copy, then flags, then size decide the errno', () => {
  const { kvm, fd } = machine()
  const files = kvm.host.memory.tables.readFiles().length
  expect(kvm.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, new Uint8Array(8))).toBe(-Errno.EFAULT)
  expect(kvm.createGmem(fd, 5, 4)).toBe(-Errno.EINVAL)
  for (const size of [0, 5, 2 ** 63]) expect(kvm.createGmem(fd, size)).toBe(-Errno.EINVAL)
  expect(kvm.host.memory.tables.readFiles()).toHaveLength(files)
  expect(kvm.createGmem(fd, 2 ** 62)).toBeGreaterThan(0)
})

test('K4 G8 a gmem slot cannot be moved or changed; deleting it frees no page and unbinds its pages', () => {
  const { kvm, fd, vm, gmem, slot } = machine()
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  kvm.run(handleGuestFault(vm, gpa(RAM), 'write'))
  const file = vm.slots.byId(0)?.gmem
  const pfn = file?.inode.folio(0)
  for (const change of [{ gpa: 2 * RAM }, { flags: 0 }, { size: SIZE / 2 }, {}])
    expect(kvm.setSlot(fd, { ...slot, ...change })).toBe(-Errno.EINVAL)
  expect(file?.bindings.get(SIZE / 4096 - 1)).toBe(vm.slots.byId(0))
  expect(kvm.setSlot(fd, { ...slot, size: 0 })).toBe(0)
  expect(file?.inode.folio(0)).toBe(pfn)
  expect(file?.bindings.empty).toBe(true)
  expect(vm.stage2.mapped).toBe(0)
  expect(kvm.setSlot(fd, { ...slot, fd: gmem })).toBe(0)
  kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))
  expect(vm.stage2.leaf(RAM / 4096)?.pfn).toBe(pfn)
})

test('K5 attributes need no slot and outlive every slot; setting what is set zaps nothing', () => {
  const { kvm, fd, vm, slot } = machine()
  const bare = RAM + 2 * SIZE
  expect(kvm.setAttributes(fd, bare, 4096, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
  expect(isPrivateGfn(vm, bare / 4096)).toBe(true)
  expect(vm.invalidate.seq).toBe(0)
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  kvm.run(handleGuestFault(vm, gpa(RAM), 'write'))
  const { seq } = vm.invalidate
  expect(kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
  expect([vm.invalidate.seq, vm.stage2.mapped]).toEqual([seq, 1])
  kvm.setSlot(fd, { ...slot, size: 0 })
  expect(isPrivateGfn(vm, RAM / 4096)).toBe(true)
})

test('K6 a conversion unmaps the kind it leaves behind and nothing beside it', () => {
  const { kvm, fd, vm } = machine()
  const first = RAM / 4096
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  for (const page of [0, 1, 2]) kvm.run(handleGuestFault(vm, gpa(RAM + page * 4096), 'write'))
  kvm.setAttributes(fd, RAM + 4096, 4096, 0)
  expect([0, 1, 2].map((page) => vm.stage2.leaf(first + page) !== null)).toEqual([true, false, true])
  vm.declared?.completeShare(first + 1, first + 2)
  kvm.run(handleGuestFault(vm, gpa(RAM + 4096), 'write'))
  // To private: the shared mapping goes, the private ones in the range stay.
  kvm.setAttributes(fd, RAM, 3 * 4096, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  expect([0, 1, 2].map((page) => vm.stage2.leaf(first + page) !== null)).toEqual([true, false, true])
})

test('M4 a guest_memfd is bound by the VM it was made for only', () => {
  const { kvm, gmem, slot } = machine()
  const other = kvm.createVm(1)
  expect(kvm.setSlot(other.fd, { ...slot, fd: gmem })).toBe(-Errno.EINVAL)
  expect(other.vm.slots.sorted).toEqual([])
})

test('G9 a file closed under its slot: the slot stays, a private touch is EFAULT', () => {
  const { kvm, fd, vm, gmem } = machine()
  kvm.setAttributes(fd, RAM, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  kvm.run(handleGuestFault(vm, gpa(RAM), 'write'))
  kvm.run(kvm.syscalls.close(gmem))
  expect([vm.stage2.mapped, vm.slots.byId(0)?.gmem]).toEqual([0, null])
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'read'))).toMatchObject({
    kind: 'memory_fault',
    errno: 'EFAULT',
    private: true,
  })
})

test('K1 SET_MEMORY_ATTRIBUTES: each refusal is EINVAL (a short structure EFAULT) and changes nothing', () => {
  const { kvm, fd, vm } = machine()
  const PRIVATE = KVM_MEMORY_ATTRIBUTE_PRIVATE
  const top = 2 ** 64 - 4096
  const refused: [address: number, size: number, attributes: number][] = [
    [RAM, 4096, 1],
    [RAM, 4096, 2 ** 32],
    [RAM, 0, PRIVATE],
    [top, 4096, PRIVATE],
    [top, 8192, PRIVATE],
    [RAM + 1, 4096, PRIVATE],
    [RAM, 4097, PRIVATE],
  ]
  for (const request of refused) expect(kvm.setAttributes(fd, ...request)).toBe(-Errno.EINVAL)
  const flags = memoryAttributes(RAM, 4096, PRIVATE)
  flags[24] = 1
  expect(kvm.ioctl(fd, Kvm.SET_MEMORY_ATTRIBUTES, flags)).toBe(-Errno.EINVAL)
  expect(kvm.ioctl(fd, Kvm.SET_MEMORY_ATTRIBUTES, flags.slice(0, 24))).toBe(-Errno.EFAULT)
  expect(vm.attributes.empty).toBe(true)
  expect(kvm.setAttributes(fd, 0, top, PRIVATE)).toBe(0)
  expect(isPrivateGfn(vm, 2 ** 52 - 2)).toBe(true)
})
