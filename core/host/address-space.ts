// What memory management asks of the file whose page cache a folio is in (struct address_space and its operations,
// include/linux/fs.h and pagemap.h, v6.18).

import type { ErrnoName } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'

export interface AddressSpace {
  /** AS_UNEVICTABLE: reclaim leaves its folios alone. */
  readonly unevictable: boolean
  /** AS_INACCESSIBLE: the host must not touch the contents of its folios, so nobody may copy them elsewhere. */
  readonly inaccessible: boolean
  /** a_ops->migrate_folio: the errno of a file that does not let a folio go; null: it has put `to` in its place. */
  migrateFolio(from: Pfn, to: Pfn): ErrnoName | null
}
