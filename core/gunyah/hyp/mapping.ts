// addrspace_map, _unmap and _lookup: a guest's address space shows frames of its own extents.

import { PAGE_SIZE, type Pfn } from '../../base/units.ts'
import type { AddressSpace } from './address-space.ts'
import { HypError } from './error.ts'
import { ExtentLabel, type Memextent, UNMAPPED } from './memextent.ts'

/** Access of a mapping (enum gunyah_pagetable_access). */
export const Access = { X: 1, W: 2, R: 4, RX: 5, RW: 6, RWX: 7 } as const

/** Flags of addrspace_map and addrspace_unmap, as values. */
/** NOSYNC, bit 31, as an unsigned number. */
export const MapFlag = { PARTIAL: 1, PRIVATE: 2, VMMIO: 4, NOSYNC: 0x8000_0000 } as const
const KNOWN_FLAGS = MapFlag.PARTIAL | MapFlag.PRIVATE | MapFlag.VMMIO | MapFlag.NOSYNC

const anyLeaf = { private: true, shared: true }

/** Frames of an extent at guest addresses. */
export interface MappingRequest {
  readonly space: AddressSpace
  readonly extent: Memextent
  readonly gpa: number
  readonly flags: number
  readonly pfn: Pfn
  readonly pages: number
}

/** Whether a guest keeps a private page of its own from the host. */
export type KeepsPage = (vmid: number, gfn: number) => boolean

const checkRequest = ({ space, extent, flags }: MappingRequest): HypError => {
  if (flags & ~KNOWN_FLAGS || !(flags & MapFlag.PARTIAL)) return HypError.ARGUMENT_INVALID
  const guestSide = extent.label === ExtentLabel.guestPrivate || extent.label === ExtentLabel.guestShared
  if (extent.vmid !== space.vmid || !guestSide) return HypError.MEMEXTENT_TYPE
  return ((flags & MapFlag.PRIVATE) !== 0) === extent.isPrivate ? HypError.OK : HypError.ARGUMENT_INVALID
}

/** addrspace_map, its ranges checked. All pages are mapped, or none. */
export const mapFrames = (request: MappingRequest, access: number): HypError => {
  const { space, extent, pfn, pages } = request
  const error = checkRequest(request)
  if (error !== HypError.OK) return error
  if (!(access & Access.R) || (access & ~Access.RWX) !== 0) return HypError.ARGUMENT_INVALID
  const gfn = request.gpa / PAGE_SIZE
  for (let i = 0; i < pages; i++) {
    const frame = extent.frame((pfn + i) as Pfn)
    if (!frame) return HypError.MEMDB_NOT_OWNER
    if (frame.gfn !== UNMAPPED || space.stage2.leaf(gfn + i)) return HypError.EXISTING_MAPPING
  }
  const { stage2 } = space
  const writable = (access & Access.W) !== 0
  const executable = (access & Access.X) !== 0
  for (let i = 0; i < pages; i++) {
    if (stage2.map(gfn + i, (pfn + i) as Pfn, writable, extent.isPrivate, executable)) continue
    if (i > 0) stage2.unmap(gfn, gfn + i, anyLeaf)
    space.noteUnmap()
    return HypError.NOMEM
  }
  for (let i = 0; i < pages; i++) {
    const frame = extent.frame((pfn + i) as Pfn)
    if (!frame) continue
    frame.gfn = gfn + i
    frame.access = access
  }
  return HypError.OK
}

/** addrspace_unmap, its ranges checked. All pages are unmapped, or none; the flush is the caller's. */
export const unmapFrames = (request: MappingRequest, keeps: KeepsPage): HypError => {
  const { space, extent, pfn, pages } = request
  const error = checkRequest(request)
  if (error !== HypError.OK) return error
  const gfn = request.gpa / PAGE_SIZE
  for (let i = 0; i < pages; i++)
    if (extent.frame((pfn + i) as Pfn)?.gfn !== gfn + i) return HypError.ADDR_INVALID
  if (extent.isPrivate) for (let i = 0; i < pages; i++) if (keeps(space.vmid, gfn + i)) return HypError.DENIED
  for (let i = 0; i < pages; i++) dropMapping(space, extent, (pfn + i) as Pfn)
  return HypError.OK
}

const dropMapping = (space: AddressSpace, extent: Memextent, pfn: Pfn): void => {
  const frame = extent.frame(pfn)
  if (!frame || frame.gfn === UNMAPPED) return
  space.stage2.unmap(frame.gfn, frame.gfn + 1, anyLeaf)
  space.released.delete(frame.gfn)
  space.noteUnmap()
  frame.gfn = UNMAPPED
  frame.access = 0
}
