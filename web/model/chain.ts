// The chain gfn - file index - folio: from any of its links to all of them.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { PageType, VmWord } from '../../core/machine/view.ts'
import { GuestPage } from './page-state.ts'
import type { FileMaps, Sampler, SlotMaps } from './sampler.ts'

/** What is selected or under the pointer: a guest page, or a host frame that no guest page reaches. */
export type PageRef = { readonly gfn: number } | { readonly pfn: number }

export const samePage = (a: PageRef | null, b: PageRef | null): boolean =>
  a === b ||
  (a !== null && b !== null && ('gfn' in a ? 'gfn' in b && a.gfn === b.gfn : 'pfn' in b && a.pfn === b.pfn))

/** Every link of the chain, as the shared tables have it now. */
export interface Chain {
  readonly gfn: number | null
  readonly slot: SlotMaps | null
  /** gfn - baseGfn. */
  readonly page: number | null
  readonly attributePrivate: boolean
  readonly file: FileMaps | null
  readonly fileIndex: number | null
  /** Frame in the guest_memfd at that index, -1 for none. */
  readonly gmemPfn: number
  /** Frame in the host memory behind the slot, -1 for none. */
  readonly hostPfn: number
  /** The frame the guest uses now (or the frame itself), -1 for none. */
  readonly pfn: number
}

const none: Chain = {
  gfn: null,
  slot: null,
  page: null,
  attributePrivate: false,
  file: null,
  fileIndex: null,
  gmemPfn: -1,
  hostPfn: -1,
  pfn: -1,
}

export const resolveChain = (sampler: Sampler, ref: PageRef | null): Chain => {
  if (!ref) return none
  if ('pfn' in ref) return { ...none, pfn: ref.pfn }
  const slot = sampler.slotOfGfn(ref.gfn)
  if (!slot) return { ...none, gfn: ref.gfn }
  const page = ref.gfn - slot.slot.baseGfn
  const fileIndex = slot.file ? slot.slot.fileIndex + page : null
  return {
    gfn: ref.gfn,
    slot,
    page,
    attributePrivate: (slot.guest.states[page] & GuestPage.private) !== 0,
    file: slot.file,
    fileIndex,
    gmemPfn: slot.file && fileIndex !== null ? slot.file.pages.pfns[fileIndex] : -1,
    hostPfn: slot.host.pfns[page],
    pfn: slot.guest.pfns[page],
  }
}

/** The guest page at which a file's page is bound, if it is. */
export const gfnOfFileIndex = (sampler: Sampler, row: number, index: number): number | null => {
  const bound = sampler.slots.find(
    ({ slot }) => slot.file === row && index >= slot.fileIndex && index < slot.fileIndex + slot.pages,
  )
  return bound ? bound.slot.baseGfn + index - bound.slot.fileIndex : null
}

/** What a host frame is part of: the guest page whose storage it is, else the frame alone. */
export const refOfPfn = (sampler: Sampler, pfn: number): PageRef => {
  const { folios } = sampler.view
  const type = folios.flags[pfn] >>> 24
  const index = folios.index[pfn]
  if (type === PageType.gmem) {
    const gfn = gfnOfFileIndex(sampler, folios.owner[pfn], index)
    if (gfn !== null) return { gfn }
  }
  if (type === PageType.anon && folios.owner[pfn] === sampler.view.tables.vmWord(0, VmWord.PROCESS)) {
    for (const { slot } of sampler.slots) {
      const page = index - slot.userspaceAddr / PAGE_SIZE
      if (page >= 0 && page < slot.pages) return { gfn: slot.baseGfn + page }
    }
  }
  return { pfn }
}
