// What the folio table says of a frame, in words.

import type { Pfn } from '../../core/base/units.ts'
import type { StoreKind } from '../../core/machine/host-choice.ts'
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
    hwpoison: 'out of use: memory error',
    lost: 'out of use: lent to a guest that did not give it back',
  } satisfies Record<keyof typeof PageType, string>).map(([name, text]) => [
    PageType[name as keyof typeof PageType],
    text,
  ]),
)

export interface FolioFacts {
  readonly type: string
  readonly flags: string
  readonly refcount: number
  readonly guestMapcount: number
  /** Who holds the references, in words. */
  readonly references: readonly string[]
  /** Where the folio is on its way to an LRU list; null for what never goes there. */
  readonly lru: string | null
}

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

/** Whose the references are, of `refcount`; what nobody else has are pins. */
const references = (
  refcount: number,
  mapcount: number,
  holders: {
    readonly isCached: boolean
    readonly inBatch: boolean
    readonly isPoisoned: boolean
    readonly isHeld: boolean
  },
): string[] => {
  const single = [
    ...(holders.isCached ? ['page cache'] : []),
    ...(holders.inBatch ? ['LRU batch'] : []),
    ...(holders.isPoisoned ? ['memory failure'] : []),
    ...(holders.isHeld ? ['the guest’s own'] : []),
  ]
  const pins = refcount - mapcount - single.length
  return [
    ...single,
    ...(mapcount ? [plural(mapcount, 'host mapping', 'host mappings')] : []),
    ...(pins > 0 ? [plural(pins, 'pin', 'pins')] : []),
  ]
}

/**
 * `store`: what holds the folios of the machine's guest memory files; `underGunyah`: what a guest was given holds a
 * reference (gunyah_gup_share_parcel, gunyah_provide_folio).
 */
export const folioFacts = (
  folios: FolioTable,
  pfn: Pfn,
  store: StoreKind,
  underGunyah: boolean,
): FolioFacts => {
  const flags = Object.entries(PG)
    .filter(([, bit]) => folios.has(pfn, bit))
    .map(([name]) => name)
  const type = folios.type(pfn)
  const refcount = folios.refcount[pfn]
  const mapcount = folios.mapcount[pfn]
  const isHeld = underGunyah && folios.guestMapcount[pfn] > 0
  const given = mapcount + (isHeld ? 1 : 0)
  const isCached = type === PageType.gmem || type === PageType.file
  // filemap puts every folio on an LRU list, through a batch that refers to it until it is drained.
  const isListed = type === PageType.gmem && store === 'filemap'
  const onList = folios.has(pfn, PG.lru)
  // memory_failure() keeps the reference it took (mm/memory-failure.c, get_hwpoison_page).
  const isPoisoned = folios.has(pfn, PG.hwpoison) && refcount > given + (isCached ? 1 : 0)
  const inBatch = isListed && !onList && refcount > given + (isPoisoned ? 2 : 1)
  return {
    type: underGunyah && type === PageType.gmem ? 'gh-gmem' : (typeNames.get(type) ?? 'unknown'),
    flags: flags.join(' ') || 'none',
    refcount,
    references: references(refcount, mapcount, { isCached, inBatch, isPoisoned, isHeld }),
    lru: !isListed ? null : onList ? 'unevictable list' : inBatch ? 'in a batch, not drained' : 'on no list',
    guestMapcount: folios.guestMapcount[pfn],
  }
}
