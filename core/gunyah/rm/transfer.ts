// How the Resource Manager moves a parcel's memory, by hypercalls: to the borrowers, into their address spaces, back.

import type { Gpa } from '../../base/units.ts'
import { PAGE_SIZE } from '../../base/units.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { HypError } from '../hyp/error.ts'
import type { FrameRange, Hypervisor } from '../hyp/hypervisor.ts'
import { MapFlag } from '../hyp/mapping.ts'
import { type Memextent, ModifyOperation } from '../hyp/memextent.ts'
import type { SglEntry } from './memory-messages.ts'
import { type Borrower, type Parcel, type ParcelKind, pieces, transfers } from './parcel.ts'

interface Sides {
  readonly host: Memextent
  readonly guest: Memextent
}

const sides = (hypervisor: Hypervisor, kind: ParcelKind, vmid: number): Sides | null => {
  const extents = hypervisor.vm(vmid)?.extents
  const { host, guest } = transfers[kind]
  return extents ? { host: extents[host], guest: extents[guest] } : null
}

/** Gives memory to every borrower: to all of them, or none. */
export function* give(
  hypervisor: Hypervisor,
  parcel: Parcel,
  ranges: readonly FrameRange[],
): KernelTask<HypError> {
  const given: Sides[] = []
  const { give: option, giveBack } = transfers[parcel.kind]
  for (const { vmid } of parcel.borrowers) {
    const side = sides(hypervisor, parcel.kind, vmid)
    const error = side
      ? yield* hypervisor.donateRanges(option, side.host, side.guest, ranges)
      : HypError.ARGUMENT_INVALID
    if (error !== HypError.OK || !side) {
      // Only a share has several borrowers: its memory comes back as it is.
      for (const { host, guest } of given) yield* hypervisor.donateRanges(giveBack, guest, host, ranges)
      return error
    }
    given.push(side)
  }
  if (parcel.sanitised && given.length > 0) yield* zero(hypervisor, given[0].guest, ranges)
  return HypError.OK
}

function* zero(hypervisor: Hypervisor, extent: Memextent, ranges: readonly FrameRange[]): KernelTask<void> {
  for (const { pfn, pages } of ranges)
    yield* hypervisor.memextentModify(extent, ModifyOperation.ZERO_RANGE, pfn, pages)
}

/** Takes all memory back from the borrowers, who have let it go; zeroed if asked for, and if it was private. */
export function* takeBack(hypervisor: Hypervisor, parcel: Parcel, sanitise: boolean): KernelTask<HypError> {
  const { giveBack } = transfers[parcel.kind]
  const { ranges } = parcel
  const all = parcel.borrowers
    .map(({ vmid }) => sides(hypervisor, parcel.kind, vmid))
    .filter((side) => side !== null)
  for (const { host, guest } of all) {
    const error = hypervisor.checkDonate(giveBack, guest, host, ranges)
    if (error !== HypError.OK) return error
  }
  // Private memory is zeroed on its way by the hypervisor.
  if (sanitise && all.length > 0 && !all[0].guest.isPrivate) yield* zero(hypervisor, all[0].guest, ranges)
  for (const { host, guest } of all) {
    const error = yield* hypervisor.donateRanges(giveBack, guest, host, ranges)
    if (error !== HypError.OK) return error
  }
  return HypError.OK
}

/** Maps a parcel into a borrower's address space at `sgl`, of the parcel's size: all of it, or nothing. */
export function* mapParcel(
  hypervisor: Hypervisor,
  parcel: Parcel,
  borrower: Borrower,
  sgl: readonly SglEntry[],
): KernelTask<HypError> {
  const space = hypervisor.vm(borrower.vmid)?.space
  const side = sides(hypervisor, parcel.kind, borrower.vmid)
  if (!space || !side) return HypError.OBJECT_STATE
  const flags = mapFlags(side.guest)
  const mapped = []
  for (const piece of pieces(sgl, parcel.sgl)) {
    const { gpa, pfn, pages } = piece
    const error = yield* hypervisor.addrspaceMap(
      space,
      side.guest,
      gpa as Gpa,
      borrower.rights,
      flags,
      pfn,
      pages,
    )
    if (error === HypError.OK) {
      mapped.push(piece)
      continue
    }
    for (const { gpa: at, pfn: from, pages: count } of mapped) {
      space.release(at / PAGE_SIZE, count)
      yield* hypervisor.addrspaceUnmap(space, side.guest, at as Gpa, flags, from, count)
    }
    return error
  }
  return HypError.OK
}

/** Unmaps a parcel that its borrower lets go. */
export function* unmapParcel(hypervisor: Hypervisor, parcel: Parcel, borrower: Borrower): KernelTask<void> {
  const space = hypervisor.vm(borrower.vmid)?.space
  const side = sides(hypervisor, parcel.kind, borrower.vmid)
  if (!space || !side || !borrower.accepted) return
  for (const { gpa, pfn, pages } of pieces(borrower.accepted, parcel.sgl)) {
    if (side.guest.isPrivate) space.release(gpa / PAGE_SIZE, pages)
    yield* hypervisor.addrspaceUnmap(space, side.guest, gpa as Gpa, mapFlags(side.guest), pfn, pages)
  }
  borrower.accepted = null
  borrower.done = false
}

const mapFlags = (extent: Memextent): number =>
  MapFlag.PARTIAL | (extent.isPrivate ? MapFlag.PRIVATE : MapFlag.VMMIO)
