// The Resource Manager's calls by which an owner offers memory and takes it back: create, append, reclaim.
//
// Only the primary VM may offer: a guest's memory was lent or shared to it, or is its own for good, and the
// hypervisor has no extents between two guests.

import type { KernelTask } from '../../host/kernel-task.ts'
import { HypError } from '../hyp/error.ts'
import { HLOS_VMID } from '../hyp/hypervisor.ts'
import { fromHypervisor, RmError } from './error.ts'
import {
  type AclEntry,
  AppendFlag,
  CreateFlag,
  type CreateRequest,
  decodeAppend,
  decodeCreate,
  decodeHandle,
  encodeWord,
  MEM_TYPE_NORMAL,
  ReleaseFlag,
  Right,
} from './memory-messages.ts'
import { VmState } from './message-ids.ts'
import { framesOf, isGoodSgl, Parcel, ParcelKind } from './parcel.ts'
import { MAX_PARCELS, type Registry } from './registry.ts'
import { failure, type Reply, success } from './reply.ts'
import { give, takeBack, unmapParcel } from './transfer.ts'

const CREATE_FLAGS = CreateFlag.SANITIZE | CreateFlag.APPEND

/** MEM_DONATE, MEM_LEND, MEM_SHARE. The reply is the handle. */
export function* createParcel(
  registry: Registry,
  caller: number,
  kind: ParcelKind,
  payload: Uint8Array,
): KernelTask<Reply> {
  const request = decodeCreate(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const error = checkCreate(registry, caller, kind, request)
  if (error !== RmError.OK) return failure(error)
  const { label, acl, sgl, flags } = request
  const parcel = new Parcel(registry.nextHandle(), kind, caller, {
    label,
    acl,
    sanitised: (flags & CreateFlag.SANITIZE) !== 0,
    open: (flags & CreateFlag.APPEND) !== 0,
  })
  const given = yield* give(registry.hypervisor, parcel, framesOf(sgl))
  if (given !== HypError.OK) return failure(fromHypervisor(given))
  parcel.sgl.push(...sgl)
  registry.parcels.set(parcel.handle, parcel)
  return success(encodeWord(parcel.handle))
}

const checkCreate = (
  registry: Registry,
  caller: number,
  kind: ParcelKind,
  { memType, flags, acl, sgl }: CreateRequest,
): RmError => {
  if (caller !== HLOS_VMID) return RmError.DENIED
  if (memType !== MEM_TYPE_NORMAL || flags & ~CREATE_FLAGS) return RmError.ARGUMENT_INVALID
  if (sgl.length === 0 || !isGoodSgl(sgl)) return RmError.ARGUMENT_INVALID
  const error = checkAcl(caller, kind, acl)
  if (error !== RmError.OK) return error
  const borrowers = acl.filter(({ vmid }) => vmid !== caller)
  if (!borrowers.every(({ vmid }) => registry.recipient(vmid))) return RmError.VMID_INVALID
  // One frame is in one private extent at most.
  if (kind === ParcelKind.lend && borrowers.length > 1) return RmError.UNIMPLEMENTED
  return registry.parcels.size >= MAX_PARCELS ? RmError.DENIED : RmError.OK
}

const checkAcl = (caller: number, kind: ParcelKind, acl: readonly AclEntry[]): RmError => {
  const isRights = ({ rights }: AclEntry): boolean => (rights & ~Right.ALL) === 0 && (rights & Right.R) !== 0
  if (acl.length === 0 || !acl.every(isRights)) return RmError.ARGUMENT_INVALID
  if (new Set(acl.map(({ vmid }) => vmid)).size !== acl.length) return RmError.ARGUMENT_INVALID
  const owns = acl.some(({ vmid }) => vmid === caller)
  if (owns !== (kind === ParcelKind.share)) return RmError.ARGUMENT_INVALID
  if (kind === ParcelKind.share && acl.length === 1) return RmError.ARGUMENT_INVALID
  if (kind !== ParcelKind.donate) return RmError.OK
  if (acl.length !== 1) return RmError.ARGUMENT_INVALID
  return acl[0].rights === Right.ALL ? RmError.OK : RmError.DENIED
}

/** MEM_APPEND: more memory for a parcel that was created with APPEND. */
export function* appendToParcel(registry: Registry, caller: number, payload: Uint8Array): KernelTask<Reply> {
  const request = decodeAppend(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  if (parcel.owner !== caller || !parcel.open) return failure(RmError.DENIED)
  const { flags, sgl } = request
  if (flags & ~AppendFlag.END || !isGoodSgl([...parcel.sgl, ...sgl])) return failure(RmError.ARGUMENT_INVALID)
  const given = yield* give(registry.hypervisor, parcel, framesOf(sgl))
  if (given !== HypError.OK) return failure(fromHypervisor(given))
  parcel.sgl.push(...sgl)
  if (flags & AppendFlag.END) parcel.open = false
  return success()
}

/** MEM_RECLAIM: the owner takes a parcel back that nobody has accepted any more. The handle is gone then. */
export function* reclaimParcel(registry: Registry, caller: number, payload: Uint8Array): KernelTask<Reply> {
  const request = decodeHandle(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  if (parcel.owner !== caller) return failure(RmError.DENIED)
  if (request.flags & ~ReleaseFlag.SANITIZE) return failure(RmError.ARGUMENT_INVALID)
  yield* unlockImage(registry, parcel)
  if (parcel.inUse) return failure(RmError.MEM_INUSE)
  const sanitise = parcel.sanitiseAfter || (request.flags & ReleaseFlag.SANITIZE) !== 0
  const taken = yield* takeBack(registry.hypervisor, parcel, sanitise)
  if (taken !== HypError.OK) return failure(fromHypervisor(taken))
  registry.parcels.delete(parcel.handle)
  return success()
}

/** The image of a VM that never started: the Resource Manager accepted it for the VM, and lets it go for the VM. */
function* unlockImage(registry: Registry, parcel: Parcel): KernelTask<void> {
  const vm = parcel.imageOf === null ? null : registry.vms.get(parcel.imageOf)
  const borrower = vm ? parcel.borrower(vm.vmid) : null
  if (!vm || !borrower || vm.state === VmState.RUNNING) return
  yield* unmapParcel(registry.hypervisor, parcel, borrower)
  parcel.imageOf = null
}
