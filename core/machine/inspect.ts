// The inspector's query: everything known about one guest page, read from the kernel's own structures.
//
// Omniscient, and says so: `guestBytes` come straight from the frame. What the host sees is a real access.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { isPrivateGfn } from '../kvm/attributes.ts'
import { hostRead } from '../vmm/host-actions.ts'
import type { Vmm } from '../vmm/vmm.ts'
import type { PageInspection, WalkStep } from './api.ts'

const hex = (value: number): string => `0x${value.toString(16)}`

/** Inspects the page at `address`; `length` bytes of its contents from there (not beyond the page). */
export function* inspectPage(vmm: Vmm, address: number, length: number): KernelTask<PageInspection> {
  const { vm, process } = vmm
  const { memory } = process.host
  const gfn = Math.floor(address / PAGE_SIZE)
  const slot = vm.slotOf(gfn)
  const attributePrivate = isPrivateGfn(vm, gfn)
  const declaredPrivate = vm.declared ? vm.declared.isPrivate(gfn) : attributePrivate
  const index = slot?.hasGmem ? slot.fileIndexOf(gfn) : null
  const inode = slot?.gmem?.inode ?? null
  const gmemPfn = inode && index !== null ? inode.folio(index) : null
  const hostFrame = slot ? process.mappedFrame(slot.hvaOf(gfn)) : null
  const leaf = vm.stage2.leaf(gfn)
  const fromGmem = attributePrivate || (slot?.gmemOnly ?? false)
  const backing = fromGmem ? gmemPfn : (hostFrame?.pfn ?? null)
  const count = Math.min(length, PAGE_SIZE - (address % PAGE_SIZE))
  return {
    gpa: address,
    gfn,
    slot: slot ? { id: slot.id, flags: slot.flags, baseGfn: slot.baseGfn, pages: slot.pages } : null,
    attributePrivate,
    declaredPrivate,
    gmem:
      inode && index !== null
        ? { file: inode.row, index, pfn: gmemPfn, path: inode.folioPath(index).map(xarrayStep) }
        : null,
    host: slot ? { hva: slot.hvaOf(gfn), pfn: hostFrame?.pfn ?? null } : null,
    pfn: leaf?.pfn ?? backing,
    stage2: vm.stage2.walk(gfn).map((step) => ({ ...step, entry: hex(step.entry) })),
    readableBy: readers(leaf !== null, hostFrame !== null && hostFrame.pfn === (leaf?.pfn ?? backing)),
    guestBytes:
      backing === null || attributePrivate !== declaredPrivate ? null : bytes(backing, address, count),
    hostBytes: yield* hostRead(vmm, address, count),
  }

  function bytes(pfn: Pfn, at: number, size: number): Uint8Array {
    const offset = at % PAGE_SIZE
    return new Uint8Array(memory.frame(pfn).subarray(offset, offset + size))
  }
}

const xarrayStep = ({ level, slot, value, node }: XArrayStep<number>): WalkStep => ({
  level,
  index: slot,
  entry: node ? 'node' : value === undefined ? 'empty' : `folio, pfn ${hex(value)}`,
})

const readers = (guest: boolean, host: boolean): string[] => [
  ...(guest ? ['guest (stage 2)'] : []),
  ...(host ? ['host process (page table)'] : []),
]
