// Where a guest page lies: its slot, the page of the file, the host's mapping, the frame. Read from the kernel's own
// structures, omniscient.

import type { Pfn } from '../base/units.ts'
import type { GmemInode } from '../gmem/inode.ts'
import { PG } from '../host/folio-table.ts'
import { isPrivateGfn } from '../kvm/attributes.ts'
import type { Memslot } from '../kvm/memslot.ts'
import type { Vmm } from '../vmm/vmm.ts'

export interface GuestPage {
  readonly slot: Memslot | null
  readonly attributePrivate: boolean
  /** The page of the guest_memfd, and the folio there. */
  readonly gmem: { readonly inode: GmemInode; readonly index: number; readonly pfn: Pfn | null } | null
  /** The frame that the VMM's mapping shows. */
  readonly hostPfn: Pfn | null
  /** The frame that stage 2 shows. */
  readonly leafPfn: Pfn | null
  /** The frame that the guest's next touch finds, if there is one yet. */
  readonly backing: Pfn | null
  /** The frame the guest uses now, or would. */
  readonly pfn: Pfn | null
  /** That frame had a memory error, or the VMM's mapping remembers that its frame had one. */
  readonly poisoned: boolean
}

export const guestPage = ({ vm, process }: Vmm, gfn: number): GuestPage => {
  const slot = vm.slotOf(gfn)
  const attributePrivate = isPrivateGfn(vm, gfn)
  const index = slot?.fileIndexOf(gfn) ?? 0
  const inode = slot?.gmem?.inode ?? null
  const gmem = inode ? { inode, index, pfn: inode.folio(index) } : null
  const hostPfn = slot ? (process.mappedFrame(slot.hvaOf(gfn))?.pfn ?? null) : null
  const leafPfn = vm.stage2.leaf(gfn)?.pfn ?? null
  const fromGmem = attributePrivate || (slot?.gmemOnly ?? false)
  const backing = fromGmem ? (gmem?.pfn ?? null) : hostPfn
  const pfn = leafPfn ?? backing
  const poisoned =
    pfn !== null
      ? process.host.memory.folios.has(pfn, PG.hwpoison)
      : slot !== null && !fromGmem && process.isPoisoned(slot.hvaOf(gfn))
  return { slot, attributePrivate, gmem, hostPfn, leafPfn, backing, pfn, poisoned }
}
