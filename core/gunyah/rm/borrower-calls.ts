// The Resource Manager's calls by which a borrower accepts memory and releases it; look-up and notices for both sides.

import type { KernelTask } from '../../host/kernel-task.ts'
import { HypError } from '../hyp/error.ts'
import { fromHypervisor, RmError } from './error.ts'
import {
  AcceptFlag,
  type AcceptRequest,
  decodeAccept,
  decodeHandle,
  encodeSgl,
  encodeWord,
  NotifyFlag,
  ReleaseFlag,
  Right,
  type SglEntry,
} from './memory-messages.ts'
import { RmNotification } from './message-ids.ts'
import { type Borrower, isGoodSgl, type Parcel, ParcelKind } from './parcel.ts'
import type { Registry } from './registry.ts'
import { failure, type Reply, success } from './reply.ts'
import { MAX_PAYLOAD_BYTES } from './rpc.ts'
import { mapParcel, unmapParcel } from './transfer.ts'

const ACCEPT_FLAGS = Object.values(AcceptFlag).reduce((all: number, flag) => all | flag, 0)
/** Error word, count and padding of a reply with a list. */
const SGL_REPLY_BYTES = 8
const SGL_ENTRY_BYTES = 16

/** MEM_ACCEPT: maps a parcel where the borrower says. */
export function* acceptParcel(registry: Registry, caller: number, payload: Uint8Array): KernelTask<Reply> {
  const request = decodeAccept(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  const borrower = parcel.borrower(caller)
  // The image of a VM is accepted by VM_INIT.
  if (!borrower || parcel.open || parcel.imageOf !== null) return failure(RmError.DENIED)
  const error = checkAccept(parcel, borrower, request)
  if (error !== RmError.OK) return failure(error)
  const mapped = yield* acceptFor(registry, parcel, borrower, request.sgl)
  if (mapped !== RmError.OK) return failure(mapped)
  borrower.done = (request.flags & AcceptFlag.DONE) !== 0
  if (request.flags & AcceptFlag.SANITIZE) borrower.sanitise = true
  // What is donated is the guest's from now on, and no parcel any more.
  if (parcel.kind === ParcelKind.donate) registry.parcels.delete(parcel.handle)
  return success()
}

/** Maps a parcel for a borrower that has been checked. */
export function* acceptFor(
  registry: Registry,
  parcel: Parcel,
  borrower: Borrower,
  sgl: readonly SglEntry[],
): KernelTask<RmError> {
  const error = yield* mapParcel(registry.hypervisor, parcel, borrower, sgl)
  if (error === HypError.OBJECT_STATE) return RmError.VM_STATE
  if (error !== HypError.OK) return fromHypervisor(error)
  borrower.accepted = sgl
  return RmError.OK
}

const checkAccept = (parcel: Parcel, borrower: Borrower, request: AcceptRequest): RmError => {
  const { flags, sgl } = request
  if (flags & ~ACCEPT_FLAGS) return RmError.ARGUMENT_INVALID
  if (flags & AcceptFlag.MAP_OTHER) return RmError.UNIMPLEMENTED
  if (borrower.accepted) return RmError.MEM_INUSE
  if (flags & AcceptFlag.SANITIZE && !(borrower.rights & Right.W)) return RmError.DENIED
  if (flags & AcceptFlag.VALIDATE_SANITIZED && !parcel.sanitised) return RmError.VALIDATE_FAILED
  if (flags & AcceptFlag.VALIDATE_LABEL && request.label !== parcel.label) return RmError.VALIDATE_FAILED
  if (flags & AcceptFlag.VALIDATE_ACL && !isSameAcl(parcel, request)) return RmError.VALIDATE_FAILED
  if (flags & AcceptFlag.CONTIGUOUS && sgl.length !== 1) return RmError.ARGUMENT_INVALID
  const size = sgl.reduce((sum, entry) => sum + entry.size, 0)
  return isGoodSgl(sgl) && size === parcel.size ? RmError.OK : RmError.ARGUMENT_INVALID
}

const isSameAcl = (parcel: Parcel, { acl }: AcceptRequest): boolean =>
  acl.length === parcel.acl.length &&
  new Set(acl.map(({ vmid }) => vmid)).size === acl.length &&
  acl.every((entry) => parcel.acl.some(({ vmid, rights }) => vmid === entry.vmid && rights === entry.rights))

/** MEM_RELEASE: the borrower lets a parcel go. */
export function* releaseParcel(registry: Registry, caller: number, payload: Uint8Array): KernelTask<Reply> {
  const request = decodeHandle(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  const borrower = parcel.borrower(caller)
  if (parcel.imageOf !== null || !borrower) return failure(RmError.DENIED)
  if (request.flags & ~ReleaseFlag.SANITIZE) return failure(RmError.ARGUMENT_INVALID)
  if (!borrower.accepted) return failure(RmError.MEM_RELEASED)
  const sanitise = (request.flags & ReleaseFlag.SANITIZE) !== 0
  if (sanitise && !(borrower.rights & Right.W)) return failure(RmError.DENIED)
  yield* releaseFor(registry, parcel, borrower, sanitise)
  return success()
}

/** Unmaps a parcel that a borrower has accepted. */
export function* releaseFor(
  registry: Registry,
  parcel: Parcel,
  borrower: Borrower,
  sanitise: boolean,
): KernelTask<void> {
  if (sanitise || borrower.sanitise) parcel.sanitiseAfter = true
  yield* unmapParcel(registry.hypervisor, parcel, borrower)
}

/** MEM_LOOKUP_SGL: where the caller has a parcel. */
export const lookUpSgl = (registry: Registry, caller: number, payload: Uint8Array): Reply => {
  const request = decodeHandle(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  const borrower = parcel.borrower(caller)
  if (parcel.owner !== caller && !borrower) return failure(RmError.DENIED)
  const sgl = borrower ? borrower.accepted : parcel.sgl
  if (!sgl) return failure(RmError.MEM_RELEASED)
  if (SGL_REPLY_BYTES + sgl.length * SGL_ENTRY_BYTES > MAX_PAYLOAD_BYTES) return failure(RmError.NORESOURCE)
  return success(encodeSgl(sgl))
}

/** What each flag of a MEM_NOTIFY says, and who may say it. */
const notices = [
  { flag: NotifyFlag.SHARED, notification: RmNotification.MEM_SHARED, byOwner: true },
  { flag: NotifyFlag.RECALL, notification: RmNotification.MEM_RECALL, byOwner: true },
  { flag: NotifyFlag.RELEASED, notification: RmNotification.MEM_RELEASED, byOwner: false },
  { flag: NotifyFlag.ACCEPTED, notification: RmNotification.MEM_ACCEPTED, byOwner: false },
] as const

/** MEM_NOTIFY: one notice, from the owner to the borrowers or from a borrower to the owner. */
export const notifyOthers = (registry: Registry, caller: number, payload: Uint8Array): Reply => {
  const request = decodeHandle(payload)
  if (!request) return failure(RmError.MSG_INVALID)
  const parcel = registry.parcels.get(request.handle)
  if (!parcel) return failure(RmError.HANDLE_INVALID)
  const notice = notices.find(({ flag }) => flag === request.flags)
  if (!notice) return failure(RmError.ARGUMENT_INVALID)
  if (notice.byOwner ? parcel.owner !== caller : !parcel.borrower(caller)) return failure(RmError.DENIED)
  const recipients = notice.byOwner ? parcel.borrowers.map(({ vmid }) => vmid) : [parcel.owner]
  for (const vmid of recipients) registry.notify(vmid, notice.notification, encodeWord(parcel.handle))
  return success()
}
