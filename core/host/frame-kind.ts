// What a person calls the owner of a frame, in the reports of compaction and reclaim.

import { PageType } from './folio-table.ts'

const names: Readonly<Record<number, string>> = {
  [PageType.free]: 'free',
  [PageType.reserved]: 'reserved',
  [PageType.anon]: 'anonymous memory',
  [PageType.file]: 'memfd',
  [PageType.gmem]: 'guest_memfd',
  [PageType.pgtable]: 'page tables',
  [PageType.kernel]: 'kernel',
  [PageType.hwpoison]: 'poisoned',
  [PageType.lost]: 'lost to a guest',
}

/** `type` is a PageType. */
export const frameKind = (type: number): string => names[type] ?? `type ${type}`
