// The inspector's query: everything known about one guest page, read from the kernel's own structures.
//
// Omniscient, and says so: `guestBytes` come straight from the frame. What the host sees is a real access, unless that
// took the page from the guest.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import { isLargeFolio } from '../gmem/large-folio.ts'
import type { Stage2Step } from '../hart/stage2.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { type HostResult, hostRead, readPhysical } from '../vmm/host-actions.ts'
import type { Vmm } from '../vmm/vmm.ts'
import type { PageInspection, WalkStep } from './api.ts'

const hex = (value: number): string => `0x${value.toString(16)}`

/** Inspects the page at `address`; `length` bytes of its contents from there (not beyond the page). */
export function* inspectPage(vmm: Vmm, address: number, length: number): KernelTask<PageInspection> {
  const { process } = vmm
  const gfn = Math.floor(address / PAGE_SIZE)
  const page = vmm.page(gfn)
  const { slot, isPrivate, declaredPrivate, gmem, host, pfn, backing } = page
  const reachable = backing !== null && isPrivate === declaredPrivate && !page.poisoned
  const offset = address % PAGE_SIZE
  const count = Math.min(length, PAGE_SIZE - offset)
  return {
    gpa: address,
    gfn,
    slot: slot ? { id: slot.id, flags: slot.flags, baseGfn: slot.baseGfn, pages: slot.pages } : null,
    attributePrivate: isPrivate,
    declaredPrivate,
    gmem: gmem
      ? {
          file: gmem.inode.row,
          index: gmem.index,
          pfn: gmem.pfn,
          path: gmem.inode.folioPath(gmem.index).map(xarrayStep),
        }
      : null,
    host,
    pfn,
    stage2: page.stage2.map(walkStep),
    hostStage2: page.hostStage2?.map(walkStep) ?? null,
    readableBy: readers(page.leafPfn !== null, host !== null && host.pfn !== null && host.pfn === pfn),
    guestBytes: reachable
      ? new Uint8Array(process.host.memory.frame(backing).subarray(offset, offset + count))
      : null,
    hostBytes: page.hostTakes ? null : yield* hostRead(vmm, address, count),
    physicalBytes: pfn === null ? null : yield* physicalBytes(vmm, pfn, offset, count),
    node: pfn === null ? null : process.host.buddy.nodeOf(pfn),
    store: gmem?.inode.store.kind ?? null,
    large: pfn !== null && isLargeFolio(process.host.memory.folios, pfn),
    pins: pfn === null ? 0 : pinsOf(vmm, pfn),
    poisoned: page.poisoned,
  }
}

/** As readPhysical, but where the host's stage 2 stops the load, looking leaves no fault among the events. */
function* physicalBytes(
  vmm: Vmm,
  pfn: Pfn,
  offset: number,
  length: number,
): KernelTask<HostResult<Uint8Array>> {
  if (!vmm.process.host.reaches(pfn, false)) return { kind: 'signal', signal: 'SIGBUS', code: 'BUS_OBJERR' }
  return yield* readPhysical(vmm, pfn, offset, length)
}

/** References beyond the page cache's, the mappings' and the one that memory_failure keeps. */
const pinsOf = (vmm: Vmm, pfn: Pfn): number => {
  const { folios } = vmm.process.host.memory
  const type = folios.type(pfn)
  const cached = type === PageType.gmem || type === PageType.file ? 1 : 0
  const broken = folios.has(pfn, PG.hwpoison) ? 1 : 0
  const held = vmm.guestHolds && folios.guestMapcount[pfn] > 0 ? 1 : 0
  return folios.refcount[pfn] - folios.mapcount[pfn] - cached - broken - held
}

const walkStep = ({ level, index, hpa, entry }: Stage2Step): WalkStep => ({
  level,
  index,
  hpa,
  entry: hex(entry),
})

const xarrayStep = ({ level, slot, value, node, slots }: XArrayStep<number>): WalkStep => ({
  level,
  index: slot,
  slots,
  entry: node ? 'node' : value === undefined ? 'empty' : `folio, pfn ${hex(value)}`,
})

const readers = (guest: boolean, host: boolean): string[] => [
  ...(guest ? ['guest (stage 2)'] : []),
  ...(host ? ['host process (page table)'] : []),
]
