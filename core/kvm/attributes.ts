// KVM_SET_MEMORY_ATTRIBUTES: which gfns are private (kvm_vm_set_mem_attributes, virt/kvm/kvm_main.c, v7.2).
//
// Attributes belong to gfns, not to slots. Setting them unmaps the half that the gfns leave; contents are
// neither copied nor zeroed. With kvm.gmem_in_place_conversion the ioctl has nothing to set: gmem-file.ts does.

import { KernelError } from '../base/errno.ts'
import { hasUnknownBits, isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { mirrorRange, VmFloat } from '../host/tables.ts'
import type { Memslot } from './memslot.ts'
import type { HostProfile } from './profiles.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, type MemoryAttributes } from './uapi.ts'
import type { Vm } from './vm.ts'

const UNMAP: Step = { at: 'kvm_vm_set_mem_attributes/unmap' }
const STORE: Step = { at: 'kvm_vm_set_mem_attributes/store' }

/** Attributes that the VM's ioctl sets (KVM_CAP_MEMORY_ATTRIBUTES); without a VM, those it may for some VM. */
export const supportedAttributes = (profile: HostProfile, vm: Vm | null): number =>
  profile.memoryAttributes && !profile.inPlaceConversion && (!vm || vm.hasPrivateMemory)
    ? KVM_MEMORY_ATTRIBUTE_PRIVATE
    : 0

/** Attributes that the guest_memfd's ioctl sets (KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES). One of the two has PRIVATE. */
export const supportedGmemAttributes = (profile: HostProfile, vm: Vm | null): number =>
  profile.inPlaceConversion && (!vm || vm.hasPrivateMemory) ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0

const attributesOf = (vm: Vm, gfn: number): number => vm.attributes.get(gfn) ?? 0

const isPrivateValue = (attributes: number): boolean => (attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE) !== 0

/**
 * kvm_is_private_gfn: by the VM's attributes; or, where pages are converted in place, by the file that the gfn's
 * slot shows: shared without a slot, and once the file is gone.
 */
export const isPrivateGfn = (vm: Vm, gfn: number): boolean => {
  if (!vm.profile.inPlaceConversion) return isPrivateValue(attributesOf(vm, gfn))
  const slot = vm.slotOf(gfn)
  return slot?.gmem?.inode.states?.get(slot.fileIndexOf(gfn)) === 'private'
}

/** True when every gfn of [start, end) has exactly these attributes (kvm_range_has_memory_attributes). */
export const rangeHasAttributes = (vm: Vm, start: number, end: number, attributes: number): boolean => {
  if (attributes === 0) return vm.attributes.find(start, end) === undefined
  let covered = 0
  vm.attributes.forRange(start, end, (value, from, to) => {
    if (value === attributes) covered += to - from
  })
  return covered === end - start
}

/** The ioctl. EINVAL: flags, unknown attributes, empty or wrapping range, unaligned. */
export function* setMemoryAttributes(vm: Vm, request: MemoryAttributes): KernelTask<number> {
  if (request.flags !== 0) throw new KernelError('EINVAL')
  if (hasUnknownBits(request.attributes, supportedAttributes(vm.profile, vm))) throw new KernelError('EINVAL')
  const first = Math.floor(request.address / PAGE_SIZE)
  if (request.size === 0 || first + request.size / PAGE_SIZE > U64_PAGES - 1) throw new KernelError('EINVAL')
  if (!isPageAligned(request.address) || !isPageAligned(request.size)) throw new KernelError('EINVAL')
  yield* setRange(vm, first, first + request.size / PAGE_SIZE, request.attributes)
  return 0
}

function* setRange(vm: Vm, start: number, end: number, attributes: number): KernelTask<void> {
  vm.host.trace(vm.profile.setAttributesEvent, start, end, attributes)
  yield* vm.slotsLock.lock()
  if (!rangeHasAttributes(vm, start, end, attributes)) {
    const slots = vm.slots.within(start, end)
    const before = attributesOf(vm, start)
    const zapped = yield* invalidateSlots(vm, slots, start, end, attributes)
    if (vm.host.scheduler.stepping) yield STORE
    const isPrivate = isPrivateValue(attributes)
    const { tables } = vm.host.memory
    vm.attributes.store(start, end, attributes === 0 ? undefined : attributes)
    mirrorRange(tables, vm.row, 'attributes', start, end, isPrivate, vm.attributes, isPrivateValue)
    vm.count(VmFloat.CONVERSIONS)
    vm.host.trace('kvm_gmem_convert', start, end, before, attributes, zapped)
    if (slots.length > 0) {
      yield* vm.mmuLock.lock()
      vm.invalidate.end()
      vm.mmuLock.unlock()
    }
    vm.host.memory.bumpGeneration()
    vm.count(VmFloat.ZAPPED, zapped)
  }
  vm.slotsLock.unlock()
}

/** Begins an invalidation and unmaps the half that the gfns leave: to private the shared one, and the reverse. */
function* invalidateSlots(
  vm: Vm,
  slots: readonly Memslot[],
  start: number,
  end: number,
  attributes: number,
): KernelTask<number> {
  if (slots.length === 0) return 0
  const toPrivate = isPrivateValue(attributes)
  const filter = { private: !toPrivate, shared: toPrivate }
  yield* vm.mmuLock.lock()
  vm.invalidate.begin()
  for (const slot of slots) vm.invalidate.rangeAdd(Math.max(start, slot.baseGfn), Math.min(end, slot.endGfn))
  if (vm.host.scheduler.stepping) yield UNMAP
  let zapped = 0
  for (const slot of slots)
    zapped += vm.stage2.unmap(Math.max(start, slot.baseGfn), Math.min(end, slot.endGfn), filter)
  if (zapped > 0) yield* vm.flushRemoteTlbs()
  vm.mmuLock.unlock()
  return zapped
}
