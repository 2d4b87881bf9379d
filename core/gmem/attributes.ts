// Private or shared, page by page of a guest_memfd: what the inode itself says where memory is converted in place.
//
// As the maple tree of the in-place conversion series (virt/kvm/guest_memfd.c, linux-next of September 2026): it
// covers the whole file at all times, equal neighbours are one entry, the invalidate lock guards changes. Where a
// VM's own attributes say which gfns are private (Linux 6.8 to 7.3), the inode has no such map and its flags decide.

import type { RangeMap } from '../base/range-map.ts'
import type { GmemInode } from './inode.ts'
import { BOTH_KINDS, type GmemFilter } from './operations.ts'

/** Who a page of the file is for: the guest alone, or the host as well. */
export type PageState = 'private' | 'shared'

/** A state for every page of a file. */
export type PageStates = RangeMap<PageState>

/** The host may touch the page through a mapping of the file (kvm_gmem_is_shared_mem). */
export const isSharedPage = ({ states, startsShared }: GmemInode, index: number): boolean =>
  states ? states.get(index) === 'shared' : startsShared

/** Which guest mappings pages of the file can have: of one kind for life, or of either where they are converted. */
export const guestMappings = ({ states, startsShared }: GmemInode): GmemFilter =>
  states ? BOTH_KINDS : { private: !startsShared, shared: startsShared }
