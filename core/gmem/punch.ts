// Punching a hole (kvm_gmem_punch_hole): guest mappings go first, then host mappings, then the folios.

import { KernelError } from '../base/errno.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { guestMappings } from './attributes.ts'
import type { GmemInode } from './inode.ts'
import type { KeptPages } from './operations.ts'

const BEGIN: Step = { at: 'gmem_punch_hole/invalidate_begin' }
const TRUNCATE: Step = { at: 'gmem_punch_hole/truncate_inode_pages_range' }
const END: Step = { at: 'gmem_punch_hole/invalidate_end' }

/** Frees pages [from, end); what lies past the end of the file is no error. Throws when a guest keeps some of them. */
export function* punchHole(inode: GmemInode, from: number, end: number): KernelTask<void> {
  const { scheduler } = inode.host
  const filter = guestMappings(inode)
  const start = Math.min(from, inode.pages)
  const last = Math.min(end, inode.pages)
  yield* inode.invalidateLock.writeLock()
  if (scheduler.stepping) yield BEGIN
  let zapped = 0
  let kept: KeptPages | undefined
  for (const view of inode.views) {
    const done = yield* view.operations.invalidateBegin(view, start, last, filter)
    zapped += done.zapped
    kept = done.kept ?? kept
  }
  if (scheduler.stepping) yield TRUNCATE
  const freed = yield* inode.truncateRange(start, last, kept?.indexes)
  if (scheduler.stepping) yield END
  for (const view of inode.views) yield* view.operations.invalidateEnd(view, start, last)
  inode.host.trace('gmem_punch_hole', inode.row, start, last - start, freed, zapped)
  inode.invalidateLock.writeUnlock()
  if (kept) throw new KernelError(kept.errno)
}
