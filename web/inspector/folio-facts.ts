// What the folio table says of a frame, in words.

import type { Pfn } from '../../core/base/units.ts'
import type { FolioTable } from '../../core/machine/view.ts'
import { PageType, PG } from '../../core/machine/view.ts'

const typeNames = new Map<number, string>(
  Object.entries({
    free: 'free',
    reserved: 'reserved, under the host’s own tables',
    anon: 'anonymous memory',
    file: 'page cache of a memfd',
    gmem: 'guest_memfd',
    pgtable: 'stage-2 page table',
    kernel: 'kernel',
  } satisfies Record<keyof typeof PageType, string>).map(([name, text]) => [
    PageType[name as keyof typeof PageType],
    text,
  ]),
)

export interface FolioFacts {
  readonly type: string
  readonly flags: string
  readonly refcount: number
  readonly mapcount: number
  readonly guestMapcount: number
}

export const folioFacts = (folios: FolioTable, pfn: Pfn): FolioFacts => {
  const flags = Object.entries(PG)
    .filter(([, bit]) => folios.has(pfn, bit))
    .map(([name]) => name)
  return {
    type: typeNames.get(folios.type(pfn)) ?? 'unknown',
    flags: flags.join(' ') || 'none',
    refcount: folios.refcount[pfn],
    mapcount: folios.mapcount[pfn],
    guestMapcount: folios.guestMapcount[pfn],
  }
}
