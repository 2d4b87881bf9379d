// Guest faults: a vCPU touched a guest physical address that stage 2 does not map (or not for that access).
//
// The shape of kvm_mmu_faultin_pfn and direct_page_fault (arch/x86/kvm/mmu/mmu.c, v7.2): snapshot the invalidate
// sequence, look up slot and backing, and map only if the sequence has not moved.

import { Errno, type ErrnoName, KernelError } from '../base/errno.ts'
import { type Gpa, PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { GuestAccess } from '../hart/guest-access.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { VmFloat } from '../host/tables.ts'
import { isPrivateGfn } from './attributes.ts'
import { mapPage, NOT_MAPPED } from './map-page.ts'
import type { Memslot } from './memslot.ts'
import { KVM_MEMORY_EXIT_FLAG_PRIVATE } from './uapi.ts'
import type { Vm } from './vm.ts'

export type FaultResult =
  /** Mapped, or raced: enter the guest again. */
  | { readonly kind: 'resume' }
  /** No memslot shows the address, or it is a write to a read-only one: emulate. */
  | { readonly kind: 'mmio' }
  /** KVM_EXIT_MEMORY_FAULT; KVM_RUN fails with `errno`. `gpa` and `size` name the page. */
  | {
      readonly kind: 'memory_fault'
      readonly errno: ErrnoName
      readonly gpa: Gpa
      readonly size: number
      readonly private: boolean
    }
  /** KVM_RUN fails without an exit. */
  | { readonly kind: 'error'; readonly errno: ErrnoName }

const RESUME: FaultResult = { kind: 'resume' }
const MMIO: FaultResult = { kind: 'mmio' }
const SNAPSHOT: Step = { at: 'kvm_mmu_faultin_pfn/snapshot' }
const FAULTED_IN: Step = { at: 'kvm_mmu_faultin_pfn/faulted_in' }
const MAP: Step = { at: 'kvm_tdp_mmu_map/map' }

/** Handles one guest fault. Several may run at once, one per vCPU. */
export function* handleGuestFault(vm: Vm, gpa: Gpa, access: GuestAccess): KernelTask<FaultResult> {
  vm.count(VmFloat.GUEST_FAULTS)
  const reader = vm.srcu.lock()
  try {
    return yield* fault(vm, Math.floor(gpa / PAGE_SIZE), access)
  } finally {
    vm.srcu.unlock(reader)
  }
}

function* fault(vm: Vm, gfn: number, access: GuestAccess): KernelTask<FaultResult> {
  const snapshot = vm.invalidate.seq
  if (vm.host.scheduler.stepping) yield SNAPSHOT
  const slot = vm.slotOf(gfn)
  const isPrivate = isPrivateGfn(vm, gfn)
  const wantPrivate = vm.declared ? vm.declared.isPrivate(gfn) : vm.hasPrivateMemory && isPrivate
  if (wantPrivate !== isPrivate) return memoryFault(vm, gfn, wantPrivate, 'EFAULT')
  if (!slot) return wantPrivate ? memoryFault(vm, gfn, wantPrivate, 'EFAULT') : MMIO
  if (slot.invalid) return RESUME
  if (vm.invalidate.mayRetry(snapshot, gfn) && !vm.debug.skipRetryCheck) return RESUME
  if (access === 'write' && slot.readonly && !wantPrivate) return MMIO

  let page: FaultedPage
  try {
    page = yield* faultIn(vm, slot, gfn, access, wantPrivate)
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    return memoryFault(vm, gfn, wantPrivate, error.errno)
  }
  if (vm.host.scheduler.stepping) yield FAULTED_IN
  yield* vm.mmuLock.lock()
  if (vm.host.scheduler.stepping) yield MAP
  const retry = vm.invalidate.mustRetry(snapshot, gfn) && !vm.debug.skipRetryCheck
  // While writes are logged, only a write makes a page writable, and one that is so already stays so.
  const logged = slot.dirtyBitmap !== null && access !== 'write'
  const writable = page.writable && !slot.readonly && (!logged || vm.stage2.leaf(gfn)?.writable === true)
  if (writable && !retry) slot.dirtyBitmap?.mark(gfn - slot.baseGfn)
  const level = retry ? NOT_MAPPED : mapPage(vm, slot, gfn, page.pfn, writable, wantPrivate)
  if (page.referenced) vm.host.buddy.put(page.pfn)
  if (level !== NOT_MAPPED)
    vm.host.trace('gmemscope_stage2_map', gfn, page.pfn, writable ? 1 : 0, wantPrivate ? 1 : 0, level)
  // A table of leaves that a 2 MiB leaf replaced, or one that stayed empty for want of memory: vCPUs may be walking it.
  if (vm.stage2.hasUnlinked) yield* vm.flushRemoteTlbs()
  else if (level !== NOT_MAPPED) vm.mirrorStage2()
  vm.mmuLock.unlock()
  return retry || level !== NOT_MAPPED ? RESUME : { kind: 'error', errno: 'ENOMEM' }
}

interface FaultedPage {
  readonly pfn: Pfn
  readonly writable: boolean
  /** A reference to drop once the page is mapped; without one only the invalidate sequence keeps the frame valid. */
  readonly referenced: boolean
}

/** The frame behind a gfn: from the guest_memfd, or from the host process's memory. */
function* faultIn(
  vm: Vm,
  slot: Memslot,
  gfn: number,
  access: GuestAccess,
  wantPrivate: boolean,
): KernelTask<FaultedPage> {
  if (!wantPrivate && !slot.gmemOnly) {
    const { pfn, writable } = yield* vm.process.pin(slot.hvaOf(gfn), access === 'write', true)
    return { pfn, writable, referenced: true }
  }
  const { gmem } = slot
  if (!gmem) throw new KernelError('EFAULT')
  const index = slot.fileIndexOf(gfn)
  if (gmem.inode.states) return { pfn: yield* gmem.lookupPfn(index, slot), writable: true, referenced: false }
  return { pfn: yield* gmem.getPfn(index, slot), writable: true, referenced: true }
}

const memoryFault = (vm: Vm, gfn: number, isPrivate: boolean, errno: ErrnoName): FaultResult => {
  const gpa = (gfn * PAGE_SIZE) as Gpa
  vm.host.trace(
    'gmemscope_memory_fault',
    gpa,
    PAGE_SIZE,
    isPrivate ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0,
    Errno[errno],
  )
  return { kind: 'memory_fault', errno, gpa, size: PAGE_SIZE, private: isPrivate }
}
