// The Resource Manager's calls on VMs: ids, image, memory layout, and the states from loading to reset.

import { type Gpa, PAGE_SIZE } from '../../base/units.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { HypError } from '../hyp/error.ts'
import { capability, HLOS_VMID } from '../hyp/hypervisor.ts'
import { MapFlag } from '../hyp/mapping.ts'
import { DonateOption, ExtentLabel, UNMAPPED } from '../hyp/memextent.ts'
import { acceptFor, releaseFor } from './borrower-calls.ts'
import { fromHypervisor, RmError } from './error.ts'
import { encodeWord } from './memory-messages.ts'
import { RmNotification, VmState } from './message-ids.ts'
import { isGoodSgl } from './parcel.ts'
import type { ManagedVm, Registry } from './registry.ts'
import { failure, type Reply, success } from './reply.ts'
import {
  decodeImage,
  decodeLayout,
  decodePaging,
  decodeVmid,
  encodeExit,
  encodeResources,
  encodeStatus,
  encodeVmid,
  type HypResource,
  RangeId,
  ResourceType,
} from './vm-messages.ts'

/** vmids that are given out: above those of the platform's own VMs, below the Resource Manager's. */
const FIRST_VMID = 0x31
const LAST_VMID = 0xfe
/** A VM that is being set up: its memory may still be described. */
const settingUp: ReadonlySet<VmState> = new Set([VmState.NO_STATE, VmState.LOAD])
const resettable: ReadonlySet<VmState> = new Set([
  VmState.LOAD,
  VmState.READY,
  VmState.INIT_FAILED,
  VmState.EXITED,
])
const disposable: ReadonlySet<VmState> = new Set([VmState.NO_STATE, VmState.LOAD, VmState.RESET])

/** Moves a VM to a state and tells the primary VM. */
const enter = (registry: Registry, vm: ManagedVm, state: VmState): void => {
  vm.state = state
  if (vm.guest.space) vm.guest.space.running = state === VmState.RUNNING
  registry.notify(HLOS_VMID, RmNotification.VM_STATUS, encodeStatus(vm.vmid, state))
}

/** The VM ended, by itself or by force. */
export const vmExited = (registry: Registry, vm: ManagedVm, type: number, reason: Uint8Array): void => {
  enter(registry, vm, VmState.EXITED)
  registry.notify(HLOS_VMID, RmNotification.VM_EXITED, encodeExit(vm.vmid, type, reason))
}

/** VM_ALLOC_VMID: vmid 0 asks for any. */
export const allocVmid = (registry: Registry, payload: Uint8Array): Reply => {
  const wanted = decodeVmid(payload)
  if (wanted === null) return failure(RmError.MSG_INVALID)
  if (wanted !== 0 && (wanted < FIRST_VMID || wanted > LAST_VMID)) return failure(RmError.VMID_INVALID)
  let vmid = wanted || FIRST_VMID
  if (wanted === 0) while (registry.vms.has(vmid) && vmid <= LAST_VMID) vmid++
  if (vmid > LAST_VMID || registry.vms.has(vmid)) return failure(RmError.NORESOURCE)
  registry.addVm(vmid)
  return success(encodeVmid(vmid))
}

/** VM_DEALLOC_VMID: the id is free again; the VM's address space goes. */
export function* deallocVmid(registry: Registry, vm: ManagedVm): KernelTask<Reply> {
  if (!disposable.has(vm.state)) return failure(RmError.VM_STATE)
  for (const parcel of registry.parcels.values())
    if (parcel.borrower(vm.vmid)) return failure(RmError.MEM_INUSE)
  yield* registry.hypervisor.destroyVm(vm.guest)
  registry.vms.delete(vm.vmid)
  return success()
}

/** VM_CONFIG_IMAGE: names the parcel, lent or shared to the VM, that holds its image and device tree. */
export const configImage = (registry: Registry, vm: ManagedVm, payload: Uint8Array): Reply => {
  const request = decodeImage(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  if (vm.state !== VmState.NO_STATE) return failure(RmError.VM_STATE)
  if (request.authentication !== 0) return failure(RmError.UNIMPLEMENTED)
  const parcel = registry.parcels.get(request.handle)
  const borrower = parcel?.borrower(vm.vmid)
  if (!parcel || !borrower) return failure(RmError.HANDLE_INVALID)
  if (parcel.open) return failure(RmError.DENIED)
  if (parcel.inUse || parcel.borrowers.length > 1) return failure(RmError.MEM_INUSE)
  const { imageOffset, imageSize, dtbOffset, dtbSize } = request
  if (Math.max(imageOffset + imageSize, dtbOffset + dtbSize) > parcel.size)
    return failure(RmError.ARGUMENT_INVALID)
  parcel.imageOf = vm.vmid
  enter(registry, vm, VmState.LOAD)
  return success()
}

/** VM_SET_DEMAND_PAGING: guest addresses that the host fills when they are touched. */
export const setDemandPaging = (vm: ManagedVm, payload: Uint8Array): Reply => {
  const request = decodePaging(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  if (!settingUp.has(vm.state)) return failure(RmError.VM_STATE)
  if (!isGoodSgl(request.ranges)) return failure(RmError.ARGUMENT_INVALID)
  vm.pagedRanges = request.ranges
  return success()
}

/** VM_SET_ADDRESS_LAYOUT: where the image goes. */
export const setAddressLayout = (vm: ManagedVm, payload: Uint8Array): Reply => {
  const request = decodeLayout(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  if (!settingUp.has(vm.state)) return failure(RmError.VM_STATE)
  if (request.rangeId !== RangeId.IMAGE) return failure(RmError.UNIMPLEMENTED)
  const range = { ipa: request.base, size: request.size }
  if (!isGoodSgl([range])) return failure(RmError.ARGUMENT_INVALID)
  vm.imageRange = range
  return success()
}

/** VM_INIT: makes the address space and maps the image there. */
export function* initVm(registry: Registry, vm: ManagedVm): KernelTask<Reply> {
  if (vm.state !== VmState.LOAD) return failure(RmError.VM_STATE)
  enter(registry, vm, VmState.INIT)
  const error = yield* setUp(registry, vm)
  enter(registry, vm, error === RmError.OK ? VmState.READY : VmState.INIT_FAILED)
  return error === RmError.OK ? success() : failure(error)
}

function* setUp(registry: Registry, vm: ManagedVm): KernelTask<RmError> {
  const parcel = imageOf(registry, vm)
  const borrower = parcel?.borrower(vm.vmid)
  const range = vm.imageRange
  if (!parcel || !borrower || !range || range.size < parcel.size) return RmError.ARGUMENT_INVALID
  const made = registry.hypervisor.createAddressSpace(vm.guest)
  if (made !== HypError.OK) return fromHypervisor(made)
  return yield* acceptFor(registry, parcel, borrower, [{ ipa: range.ipa, size: parcel.size }])
}

const imageOf = (registry: Registry, vm: ManagedVm) =>
  [...registry.parcels.values()].find((parcel) => parcel.imageOf === vm.vmid)

/** VM_START: from now on the image is memory like what was paged in: the host reclaims it page by page. */
export const startVm = (registry: Registry, vm: ManagedVm): Reply => {
  const image = imageOf(registry, vm)
  if (vm.state !== VmState.READY || !image) return failure(RmError.VM_STATE)
  registry.parcels.delete(image.handle)
  enter(registry, vm, VmState.RUNNING)
  return success()
}

/** VM_RESET: everything that the VM has accepted is let go; what was donated to it goes back to the host. */
export function* resetVm(registry: Registry, vm: ManagedVm): KernelTask<Reply> {
  if (!resettable.has(vm.state)) return failure(RmError.VM_STATE)
  enter(registry, vm, VmState.RESETTING)
  for (const parcel of registry.parcels.values()) {
    if (parcel.imageOf === vm.vmid) parcel.imageOf = null
    const borrower = parcel.borrower(vm.vmid)
    if (!borrower?.accepted) continue
    yield* releaseFor(registry, parcel, borrower, false)
    registry.notify(parcel.owner, RmNotification.MEM_RELEASED, encodeWord(parcel.handle))
  }
  yield* returnDonated(registry, vm)
  vm.pagedRanges = []
  enter(registry, vm, VmState.RESET)
  return success()
}

/** What the VM owns goes back, but for what is still offered to it by a parcel. */
function* returnDonated(registry: Registry, vm: ManagedVm): KernelTask<void> {
  const { hypervisor } = registry
  const { space, extents } = vm.guest
  const guest = extents[ExtentLabel.guestPrivate]
  const offered = new Set<number>()
  for (const parcel of registry.parcels.values())
    if (parcel.borrower(vm.vmid))
      for (const { pfn, pages } of parcel.ranges) for (let i = 0; i < pages; i++) offered.add(pfn + i)
  const owned = [...guest.frames].filter(([pfn, { donated }]) => donated && !offered.has(pfn))
  for (const [pfn, { gfn }] of owned) {
    if (!space || gfn === UNMAPPED) continue
    space.release(gfn, 1)
    const flags = MapFlag.PARTIAL | MapFlag.PRIVATE | MapFlag.NOSYNC
    yield* hypervisor.addrspaceUnmap(space, guest, (gfn * PAGE_SIZE) as Gpa, flags >>> 0, pfn, 1)
  }
  const ranges = owned.map(([pfn]) => ({ pfn, pages: 1 }))
  const host = extents[ExtentLabel.hostPrivate]
  yield* hypervisor.donateRanges(DonateOption.TO_PARENT, guest, host, ranges)
}

/** VM_GET_HYP_RESOURCES: the VM's address space and extents. */
export const getResources = (vm: ManagedVm): Reply => {
  if (!vm.guest.space) return failure(RmError.VM_STATE)
  const extents: HypResource[] = vm.guest.extents.map(({ label }) => ({
    type: ResourceType.MEMEXTENT,
    label,
    capability: capability(vm.vmid, 1 + label),
  }))
  const space = { type: ResourceType.ADDRSPACE, label: 0, capability: capability(vm.vmid, 0) }
  return success(encodeResources([space, ...extents]))
}
