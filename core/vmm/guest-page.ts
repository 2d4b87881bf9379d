// Where a guest page lies, as the kernel's own structures say: what the inspector and the host panel ask of a VMM.

import type { Pfn } from '../base/units.ts'
import type { GmemInode } from '../gmem/inode.ts'
import type { Stage2Step } from '../hart/stage2.ts'

/** A memslot, or a binding. */
export interface GuestRange {
  readonly id: number
  readonly flags: number
  readonly baseGfn: number
  readonly pages: number
}

export interface GuestPage {
  readonly slot: GuestRange | null
  /** The hypervisor keeps the page for the guest alone. */
  readonly isPrivate: boolean
  /** What the guest has declared, or been given. */
  readonly declaredPrivate: boolean
  /** The page of the guest memory file, and the folio there. */
  readonly gmem: { readonly inode: GmemInode; readonly index: number; readonly pfn: Pfn | null } | null
  /** The VMM's mapping of what is shared: its address, and the frame that it shows. */
  readonly host: { readonly hva: number; readonly pfn: Pfn | null } | null
  /** The frame that stage 2 shows. */
  readonly leafPfn: Pfn | null
  /** The frame that the guest's next touch finds, if there is one yet. */
  readonly backing: Pfn | null
  /** The frame the guest uses now, or would. */
  readonly pfn: Pfn | null
  /** That frame had a memory error, or the VMM's mapping remembers that its frame had one. */
  readonly poisoned: boolean
  /** A load or store by the VMM takes the page from the guest. */
  readonly hostTakes: boolean
  /** The walk of the guest's stage 2. */
  readonly stage2: readonly Stage2Step[]
  /** The walk of the host's own stage 2 to the frame; null: the host has none. */
  readonly hostStage2: readonly Stage2Step[] | null
}
