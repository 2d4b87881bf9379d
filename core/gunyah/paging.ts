// Demand paging: a folio becomes the guest's at its first touch, and the host's again when it is reclaimed
// (gunyah_vm_provide_folio, __gunyah_vm_reclaim_folio_locked: vm_mgr_mem.c, v17).
//
// A VM's `provided` (the driver's ghvm->mm) has an entry for each gfn that the guest was given, and the entry a
// reference to the folio. The driver changes it under the folio lock; here one lock of the VM stands for those.

import { KernelError } from '../base/errno.ts'
import { type Gpa, PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { VmFloat } from '../host/tables.ts'
import { HypError, hypErrno } from './hyp/error.ts'
import { Access, MapFlag } from './hyp/mapping.ts'
import { DONATE_NOSYNC, DonateOption, ExtentLabel, type Memextent } from './hyp/memextent.ts'
import type { VmResources } from './rm/client.ts'
import type { GunyahVm } from './vm.ts'

/** What the guest has at a gfn. */
export interface Provided {
  readonly pfn: Pfn
  readonly share: boolean
  readonly write: boolean
  /** Handle of the parcel that gave it, where it was no demand paging. */
  readonly parcel: number | null
}

const LOOKUP: Step = { at: 'gunyah_gmem_demand_page/lookup' }
const DONATE: Step = { at: 'gunyah_vm_provide_folio/donate' }
const UNMAP: Step = { at: 'gunyah_vm_reclaim_folio/addrspace_unmap' }

/**
 * The guest touched an address that it has nothing at. Throws ENOENT: no binding; EPERM: a write to a read-only one, or
 * the host maps the page; EAGAIN: another vCPU was faster; ENOMEM, EHWPOISON.
 */
export function* demandPage(vm: GunyahVm, gpa: Gpa, write: boolean): KernelTask<void> {
  vm.count(VmFloat.GUEST_FAULTS)
  const gfn = Math.floor(gpa / PAGE_SIZE)
  yield* vm.bindingsLock.readLock()
  try {
    if (vm.host.scheduler.stepping) yield LOOKUP
    const binding = vm.bindings.get(gfn)
    if (!binding) throw new KernelError('ENOENT')
    if (write && !binding.writable) throw new KernelError('EPERM')
    const { invalidateLock } = binding.gmem.inode
    yield* invalidateLock.readLock()
    try {
      // The reference that this takes is the entry's.
      yield* binding.gmem.getPfn(binding.fileIndexOf(gfn), binding)
    } finally {
      invalidateLock.readUnlock()
    }
  } finally {
    vm.bindingsLock.readUnlock()
  }
}

/** Rights of a leaf: what is shared cannot be executed. */
const rights = (share: boolean, write: boolean): number =>
  share ? (write ? Access.RW : Access.R) : write ? Access.RWX : Access.RX

/** Gives a folio to the guest at a gfn. EAGAIN: it has one there; ENODEV: the VM has not started. */
export function* provideFolio(
  vm: GunyahVm,
  gfn: number,
  pfn: Pfn,
  share: boolean,
  write: boolean,
): KernelTask<void> {
  const { hypervisor } = vm.system
  const { resources } = vm
  if (!resources) throw new KernelError('ENODEV')
  const [from, to] = extents(resources, share)
  yield* vm.providedLock.lock()
  try {
    if (vm.provided.get(gfn)) throw new KernelError('EAGAIN')
    if (vm.host.scheduler.stepping) yield DONATE
    const give = share ? DonateOption.TO_SIBLING : DonateOption.TO_PROTECTED
    check(yield* hypervisor.memextentDonate(give, from, to, pfn, 1))
    const flags = MapFlag.PARTIAL | (share ? MapFlag.VMMIO : MapFlag.PRIVATE)
    const access = rights(share, write)
    const mapped = yield* hypervisor.addrspaceMap(resources.space, to, gpaOf(gfn), access, flags, pfn, 1)
    if (mapped !== HypError.OK) {
      yield* hypervisor.memextentDonate(takeBack(share), to, from, pfn, 1)
      check(mapped)
    }
    vm.provided.set(gfn, { pfn, share, write, parcel: null })
  } finally {
    vm.providedLock.unlock()
  }
  vm.mirrorStage2()
}

/** Takes a gfn's folio from the guest, if it has one. Throws the hypervisor's refusal: EACCES. */
export function* reclaimGfn(vm: GunyahVm, gfn: number, sync = true): KernelTask<void> {
  yield* vm.providedLock.lock()
  try {
    const entry = vm.provided.get(gfn)
    if (entry) yield* reclaimEntry(vm, gfn, entry, sync)
  } finally {
    vm.providedLock.unlock()
  }
  vm.mirrorStage2()
}

function* reclaimEntry(vm: GunyahVm, gfn: number, entry: Provided, sync: boolean): KernelTask<void> {
  // A parcel is the borrower's until it releases it.
  if (entry.parcel !== null) throw new KernelError('EINVAL', 'the guest has accepted the parcel')
  const { hypervisor } = vm.system
  const { resources } = vm
  if (!resources) throw new KernelError('ENODEV')
  const { pfn, share } = entry
  const [to, from] = extents(resources, share)
  if (vm.host.scheduler.stepping) yield UNMAP
  // The donation flushes, or leaves that to the next one that does.
  const flags = MapFlag.PARTIAL | (share ? MapFlag.VMMIO : MapFlag.PRIVATE) | MapFlag.NOSYNC
  check(yield* hypervisor.addrspaceUnmap(resources.space, from, gpaOf(gfn), flags >>> 0, pfn, 1))
  const back = takeBack(share) + (sync ? 0 : DONATE_NOSYNC)
  check(yield* hypervisor.memextentDonate(back, from, to, pfn, 1))
  vm.take(gfn)
  vm.host.buddy.put(pfn)
  vm.count(VmFloat.ZAPPED)
}

/**
 * Takes every folio of gfns [start, end) from the guest, or only the lent ones; tries all, then throws what the last
 * refusal was. The flush of the vCPUs waits for the last page.
 */
export function* reclaimRange(
  vm: GunyahVm,
  start: number,
  end: number,
  which: 'all' | 'lent',
): KernelTask<void> {
  const gfns = vm.providedGfns(start, end).filter((gfn) => which === 'all' || !vm.provided.get(gfn)?.share)
  let refusal: KernelError | null = null
  for (const [i, gfn] of gfns.entries()) {
    try {
      yield* reclaimGfn(vm, gfn, i === gfns.length - 1)
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      refusal = error
    }
  }
  if (refusal) {
    yield* vm.sync()
    throw refusal
  }
}

/** The host's extent and the guest's. */
const extents = ({ extents: all }: VmResources, share: boolean): [host: Memextent, guest: Memextent] =>
  share
    ? [all[ExtentLabel.hostShared], all[ExtentLabel.guestShared]]
    : [all[ExtentLabel.hostPrivate], all[ExtentLabel.guestPrivate]]

const takeBack = (share: boolean): number => (share ? DonateOption.TO_SIBLING : DonateOption.FROM_PROTECTED)

const gpaOf = (gfn: number): Gpa => (gfn * PAGE_SIZE) as Gpa

const check = (error: HypError): void => {
  if (error !== HypError.OK) throw new KernelError(hypErrno(error))
}
