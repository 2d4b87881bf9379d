// Reclaim under memory pressure (mm/vmscan.c, mm/damon/paddr.c, v6.18): what could be taken from its owner, and why the
// rest may not be touched. This host has no swap device.

import type { Pfn } from '../base/units.ts'
import { PageType, PG } from './folio-table.ts'
import { frameKind } from './frame-kind.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'

/** Frames of one kind, and what reclaim could take of them. */
export interface ReclaimKind {
  readonly kind: string
  readonly frames: number
  readonly reclaimable: number
  /** Why the rest may not be taken. */
  readonly why: string
}

const NO_SWAP = 'no swap device to write it to'
const UNEVICTABLE = 'unevictable: reclaim does not scan that list'
const NO_LIST = 'on no LRU list: reclaim does not see it'

/** Every kind of frame in use. */
export const reclaimable = (host: Host): ReclaimKind[] => {
  const { folios, layout } = host.memory
  const kinds = new Map<number, { frames: number; reclaimable: number; reasons: Set<string> }>()
  for (let frame = layout.firstFrame; frame < layout.frames; frame++) {
    const pfn = frame as Pfn
    const type = folios.type(pfn)
    if (type === PageType.free) continue
    const kind = kinds.get(type) ?? { frames: 0, reclaimable: 0, reasons: new Set<string>() }
    kinds.set(type, kind)
    kind.frames++
    const why = whyKept(host, pfn, type)
    if (why === null) kind.reclaimable++
    else kind.reasons.add(why)
  }
  return Array.from(kinds, ([type, { frames, reclaimable, reasons }]) => ({
    kind: frameKind(type),
    frames,
    reclaimable,
    why: [...reasons].join('; '),
  }))
}

const whyKept = (host: Host, pfn: Pfn, type: number): string | null => {
  const { folios } = host.memory
  switch (type) {
    case PageType.anon:
    case PageType.file:
      return NO_SWAP
    case PageType.gmem:
      // Removed from its file, and only a batch still refers to it: draining frees it.
      if (!host.lru.mapping[pfn] && folios.refcount[pfn] === host.lru.references(pfn)) return null
      return folios.has(pfn, PG.lru) || host.lru.mapping[pfn] ? UNEVICTABLE : NO_LIST
    default:
      return NO_LIST
  }
}

const ISOLATED: Step = { at: 'damon_pa_pageout/folio_isolate_lru' }
const RESCHED: Step = { at: 'damon_pa_pageout/cond_resched', resched: true }
/** Frames looked at between two chances for others to run. */
const REGION = 1024

/**
 * Proactive reclaim by physical address (DAMON's pageout of frames [start, end)): every folio on an LRU list is
 * isolated. An unevictable one goes back through a batch, which refers to it until drained; of the others, none can
 * be written anywhere. Returns the folios put back.
 */
export function* pageOut(host: Host, start: number, end: number): KernelTask<number> {
  const { lru } = host
  const { folios } = host.memory
  let back = 0
  for (let frame = start; frame < end; frame++) {
    if ((frame - start) % REGION === REGION - 1) yield RESCHED
    const pfn = frame as Pfn
    if (!lru.isolate(pfn)) continue
    if (host.scheduler.stepping) yield ISOLATED
    if (folios.has(pfn, PG.unevictable)) {
      lru.putback(pfn)
      back++
    } else {
      // reclaim_pages finds no swap slot and moves the folio to its list again (move_folios_to_lru).
      folios.set(pfn, PG.lru)
      host.buddy.put(pfn)
    }
  }
  return back
}
