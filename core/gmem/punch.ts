// Punching a hole (kvm_gmem_punch_hole): guest mappings go first, then host mappings, then the folios.

import type { KernelTask, Step } from '../host/kernel-task.ts'
import { guestMappings } from './attributes.ts'
import type { GmemInode } from './inode.ts'

const BEGIN: Step = { at: 'kvm_gmem_punch_hole/invalidate_begin' }
const TRUNCATE: Step = { at: 'kvm_gmem_punch_hole/truncate_inode_pages_range' }
const END: Step = { at: 'kvm_gmem_punch_hole/invalidate_end' }

/** Frees pages [from, end); what lies past the end of the file is no error. */
export function* punchHole(inode: GmemInode, from: number, end: number): KernelTask<void> {
  const { scheduler } = inode.host
  const filter = guestMappings(inode)
  const start = Math.min(from, inode.pages)
  const last = Math.min(end, inode.pages)
  yield* inode.invalidateLock.writeLock()
  if (scheduler.stepping) yield BEGIN
  let zapped = 0
  for (const view of inode.views) zapped += yield* view.client.invalidateBegin(view, start, last, filter)
  if (scheduler.stepping) yield TRUNCATE
  const freed = yield* inode.truncateRange(start, last)
  if (scheduler.stepping) yield END
  for (const view of inode.views) yield* view.client.invalidateEnd(view, start, last)
  inode.host.trace('kvm_gmem_punch_hole', inode.row, start, last - start, freed, zapped)
  inode.invalidateLock.writeUnlock()
}
