// A memory error in a guest_memfd folio (kvm_gmem_error_folio, v7.2): the guest is unmapped, the folio stays.
//
// It is not truncated, so nobody is given other contents in its place: the guest's next access finds the mark and
// KVM_RUN fails with EHWPOISON. Punching the page is how user space recovers.

import type { Pfn } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { guestMappings } from './attributes.ts'
import type { GmemInode } from './inode.ts'

const BEGIN: Step = { at: 'gmem_error_folio/invalidate_begin' }

export function* errorFolio(inode: GmemInode, index: number, pfn: Pfn): KernelTask<void> {
  yield* inode.invalidateLock.readLock()
  if (inode.host.scheduler.stepping) yield BEGIN
  // A punch that held the lock may have been faster.
  if (inode.folio(index) === pfn) {
    // Only the page that failed is lost (try_to_split_thp_page).
    inode.large?.split(index, index + 1)
    const filter = guestMappings(inode)
    let zapped = 0
    for (const view of inode.views)
      zapped += (yield* view.operations.invalidateBegin(view, index, index + 1, filter)).zapped
    for (const view of inode.views) yield* view.operations.invalidateEnd(view, index, index + 1)
    inode.host.trace('gmem_error_folio', inode.row, index, pfn, zapped)
  }
  inode.invalidateLock.readUnlock()
}
