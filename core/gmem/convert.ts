// Converting pages of a guest_memfd in place: the folio stays, who may reach it changes (__kvm_gmem_set_attributes).
//
// As the in-place conversion series (virt/kvm/guest_memfd.c, linux-next of September 2026). To private: host
// mappings go first; then nobody but the page cache may hold a folio, for a pin taken while the page was shared
// would see what the guest writes later. All or nothing, whether or not the pages exist or are bound.

import type { ErrnoName } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { unmapMappingRange } from '../host/process.ts'
import type { PageState, PageStates } from './attributes.ts'
import type { GmemInode } from './inode.ts'
import type { GmemFilter } from './operations.ts'

/** Why nothing was converted. EAGAIN: the page at `index` is in use. EINTR: a signal came; ask again. */
export interface Refusal {
  readonly errno: ErrnoName
  readonly index: number
}

/** Pages looked at between two chances for others to run. */
const BATCH = 1024
/** References to a folio that only the page cache knows. */
const PAGE_CACHE_ONLY = 1

const UNMAP: Step = { at: 'gmem_set_attributes/unmap_mapping_pages' }
const CHECK: Step = { at: 'kvm_gmem_is_safe_for_conversion/cond_resched', resched: true }
const BEGIN: Step = { at: 'gmem_set_attributes/invalidate_start' }
const STORE: Step = { at: 'gmem_set_attributes/store' }

const PRIVATE_LEAVES: GmemFilter = { private: true, shared: false }
const SHARED_LEAVES: GmemFilter = { private: false, shared: true }

/** Gives pages [start, end) a state; null: done. `states` are the inode's. */
export function* convertPages(
  inode: GmemInode,
  states: PageStates,
  start: number,
  end: number,
  to: PageState,
): KernelTask<Refusal | null> {
  yield* inode.invalidateLock.writeLock()
  try {
    if (states.isUniform(start, end, to)) return null
    const refusal = to === 'private' ? yield* withdraw(inode, start, end) : null
    if (!refusal) yield* store(inode, states, start, end, to)
    return refusal
  } finally {
    inode.invalidateLock.writeUnlock()
  }
}

/** Takes the pages from every process, and makes sure that nobody still holds one. */
function* withdraw(inode: GmemInode, start: number, end: number): KernelTask<Refusal | null> {
  if (inode.host.scheduler.stepping) yield UNMAP
  yield* unmapMappingRange(inode.mappings, start, end)
  const { refcount } = inode.host.memory.folios
  let busy = -1
  const check = (index: number, pfn: Pfn): void => {
    if (busy < 0 && refcount[pfn] !== PAGE_CACHE_ONLY) busy = index
  }
  let drained = false
  for (let at = inode.store.first(start, end); at >= 0; ) {
    const to = Math.min(end, at + BATCH)
    inode.store.forEach(at, to, check)
    if (busy >= 0) {
      // A batch of the LRU may hold it for the moment: once a call, they are emptied.
      if (drained) return { errno: 'EAGAIN', index: busy }
      yield* inode.store.drain()
      drained = true
      at = busy
      busy = -1
      continue
    }
    at = inode.store.first(to, end)
    if (at < 0) break
    yield CHECK
    if (inode.host.scheduler.signalPending) return { errno: 'EINTR', index: at }
  }
  return null
}

/** Every view lets go of its mappings of the kind that the pages leave, and the state changes: cannot fail. */
function* store(
  inode: GmemInode,
  states: PageStates,
  start: number,
  end: number,
  to: PageState,
): KernelTask<void> {
  const { scheduler } = inode.host
  const filter = to === 'private' ? SHARED_LEAVES : PRIVATE_LEAVES
  if (scheduler.stepping) yield BEGIN
  let zapped = 0
  for (const view of inode.views)
    zapped += (yield* view.operations.invalidateBegin(view, start, end, filter)).zapped
  if (scheduler.stepping) yield STORE
  states.store(start, end, to)
  if (to === 'private') inode.large?.merge(start, end)
  else inode.large?.split(start, end)
  inode.host.trace('gmem_set_attributes', inode.row, start, end - start, to === 'private' ? 1 : 0, zapped)
  for (const view of inode.views) view.operations.converted?.(view, start, end, to, zapped)
  for (const view of inode.views) yield* view.operations.invalidateEnd(view, start, end)
}
