// Moving a folio to another frame (mm/migrate.c, v6.18): what memory is compacted by, and what a guest_memfd refuses.
//
// Linux puts migration entries into the page tables while it copies; here the entries are swapped in the one step
// in which the copy is made, between notifications to the secondary page tables, so nobody can tell.

import type { ErrnoName } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import type { Process } from './process.ts'

const UNMAPPED: Step = { at: 'migrate_pages/try_to_migrate' }

/** The isolation's reference (Lru.isolate): what an unmapped anonymous folio has left. */
const ISOLATED = 1

/**
 * Moves an isolated folio to `to`, a frame just taken for it. null: done, the caller puts `from` and has `to` put on
 * a list. EAGAIN: locked, or somebody refers to it beyond its mappings. EOPNOTSUPP: its file is inaccessible.
 */
export function* migrateFolio(host: Host, from: Pfn, to: Pfn): KernelTask<ErrnoName | null> {
  if (!host.folioLocks.tryLock(from)) return 'EAGAIN'
  try {
    const mapping = host.lru.mapping[from]
    // move_to_new_folio
    if (!mapping) return yield* migrateAnonymous(host, from, to)
    if (mapping.inaccessible) return 'EOPNOTSUPP'
    return mapping.migrateFolio(from, to)
  } finally {
    host.folioLocks.unlock(from)
  }
}

function* migrateAnonymous(host: Host, from: Pfn, to: Pfn): KernelTask<ErrnoName | null> {
  const { folios } = host.memory
  const page = folios.index[from]
  const start = page * PAGE_SIZE
  const notifiers = mappers(host, from, start).flatMap((process) => [...process.notifiers])
  for (const notifier of notifiers) yield* notifier.invalidateRangeStart(start, start + PAGE_SIZE)
  if (host.scheduler.stepping) yield UNMAPPED
  const refused = moveNow(host, from, to, start)
  yield* endAll(notifiers, start)
  return refused
}

/** Contents, flags and every mapping go to the new frame; EAGAIN when a reference is left that would not follow. */
const moveNow = (host: Host, from: Pfn, to: Pfn, start: number): ErrnoName | null => {
  const { memory } = host
  const { folios } = memory
  const processes = mappers(host, from, start)
  // folio_migrate_mapping: with the mappings gone, only the isolation may refer to it.
  if (folios.refcount[from] - processes.length !== ISOLATED) return 'EAGAIN'
  memory.frame(to).set(memory.frame(from))
  if (folios.has(from, PG.anonExclusive)) folios.set(to, PG.anonExclusive)
  for (const process of processes) process.pages.remap(start / PAGE_SIZE, to)
  memory.bumpGeneration()
  return null
}

/** The reverse map: a child shares its parent's pages at the same addresses. */
const mappers = (host: Host, pfn: Pfn, address: number): Process[] =>
  [...host.processes].filter((process) => process.mappedFrame(address)?.pfn === pfn)

function* endAll(notifiers: readonly MmuNotifier[], start: number): KernelTask<void> {
  for (const notifier of notifiers) yield* notifier.invalidateRangeEnd(start, start + PAGE_SIZE)
}
