// Compaction (mm/compaction.c, v6.18), as `echo 1 > /proc/sys/vm/compact_memory` asks for it: movable folios are taken
// from the low end of a node to free frames at its high end.
//
// Only folios on an LRU list are looked at. One whose file is inaccessible is given back at once: guest memory that
// the host must not read cannot be copied either.

import type { Pfn } from '../base/units.ts'
import { PageType, PG } from './folio-table.ts'
import { frameKind } from './frame-kind.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { migrateFolio } from './migrate.ts'

/** What compaction did to frames of one kind. */
export interface CompactionKind {
  readonly kind: string
  readonly migrated: number
  readonly refused: number
  /** Why the refused ones did not move; empty when none refused. */
  readonly why: string
}

/** One run over all of memory. Counts are frames. */
export interface CompactionReport {
  /** Frames in use that the scanner came to. */
  readonly scanned: number
  readonly migrated: number
  readonly refused: number
  readonly kinds: readonly CompactionKind[]
}

/** Frames scanned between two chances for others to run (pageblock_nr_pages). */
const BLOCK = 512
const RESCHED: Step = { at: 'isolate_migratepages_block/cond_resched', resched: true }
const LOOK: Step = { at: 'isolate_migratepages_block/folio_trylock' }

const NOT_ON_LRU = 'on no LRU list: not looked at'
const PINNED = 'more references than mappings: pinned'
const INACCESSIBLE = 'its mapping is inaccessible: not even isolated'
const LOCKED = 'locked by another task'

/** Compacts every node. */
export function* compactMemory(host: Host): KernelTask<CompactionReport> {
  const { layout } = host.memory
  const { buddy } = host
  const tally = new Tally()
  host.lru.drain()
  yield* compactZone(host, layout.firstFrame, buddy.boundary, tally)
  if (buddy.nodes > 1) yield* compactZone(host, buddy.boundary, layout.frames, tally)
  return tally.report()
}

function* compactZone(host: Host, start: number, end: number, tally: Tally): KernelTask<void> {
  const { folios } = host.memory
  // The free scanner comes down to meet the migration scanner.
  let free = end
  for (let frame = start; frame < free; frame++) {
    if ((frame - start) % BLOCK === BLOCK - 1) yield RESCHED
    const pfn = frame as Pfn
    if (folios.type(pfn) === PageType.free) continue
    const refusal = yield* unmovable(host, pfn)
    if (refusal !== null) {
      tally.refused(frameKind(folios.type(pfn)), refusal)
      continue
    }
    do free--
    while (free > frame && folios.type(free as Pfn) !== PageType.free)
    if (free <= frame) return
    yield* move(host, pfn, free as Pfn, tally)
  }
}

/** isolate_migratepages_block's checks of one frame in use: why it stays, or null. */
function* unmovable(host: Host, pfn: Pfn): KernelTask<string | null> {
  const { lru, folioLocks, buddy } = host
  const { folios } = host.memory
  if (!folios.has(pfn, PG.lru)) return NOT_ON_LRU
  const mapping = lru.mapping[pfn]
  if (!mapping) return folios.refcount[pfn] > folios.mapcount[pfn] ? PINNED : null
  if (!folios.has(pfn, PG.unevictable)) return null
  // The mapping may go away with a truncation; the folio lock, and a reference meanwhile, hold it.
  buddy.get(pfn)
  if (!folioLocks.tryLock(pfn)) {
    buddy.put(pfn)
    return LOCKED
  }
  if (host.scheduler.stepping) yield LOOK
  const inaccessible = lru.mapping[pfn]?.inaccessible ?? false
  folioLocks.unlock(pfn)
  buddy.put(pfn)
  return inaccessible ? INACCESSIBLE : null
}

/** Isolates and migrates one folio; both ends go back to their lists through a batch. */
function* move(host: Host, from: Pfn, to: Pfn, tally: Tally): KernelTask<void> {
  const { lru, buddy } = host
  const { folios } = host.memory
  const type = folios.type(from)
  if (!lru.isolate(from)) return
  buddy.takeFrame(to, type, folios.owner[from], folios.index[from])
  const refused = yield* migrateFolio(host, from, to)
  if (refused) {
    lru.putback(from)
    buddy.put(to)
    tally.refused(frameKind(type), PINNED)
    return
  }
  buddy.put(from)
  lru.putback(to)
  tally.moved(frameKind(type))
}

/** Counts by kind and by reason. */
class Tally {
  readonly #migrated = new Map<string, number>()
  readonly #refused = new Map<string, Map<string, number>>()

  moved(kind: string): void {
    this.#migrated.set(kind, (this.#migrated.get(kind) ?? 0) + 1)
  }

  refused(kind: string, why: string): void {
    const reasons = this.#refused.get(kind) ?? new Map<string, number>()
    this.#refused.set(kind, reasons)
    reasons.set(why, (reasons.get(why) ?? 0) + 1)
  }

  report(): CompactionReport {
    const names = new Set([...this.#migrated.keys(), ...this.#refused.keys()])
    const kinds = Array.from(names, (kind) => {
      const reasons = this.#refused.get(kind) ?? new Map<string, number>()
      return {
        kind,
        migrated: this.#migrated.get(kind) ?? 0,
        refused: sum([...reasons.values()]),
        why: [...reasons.keys()].join('; '),
      }
    })
    const migrated = sum(kinds.map((kind) => kind.migrated))
    const refused = sum(kinds.map((kind) => kind.refused))
    return { scanned: migrated + refused, migrated, refused, kinds }
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
