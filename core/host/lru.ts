// How a folio of the page cache reaches an LRU list, and leaves it: through a per-CPU batch (mm/swap.c, v6.18).
//
// A batch holds a reference to each of its folios until it is drained: by itself when it is full, by whoever frees
// folios on that CPU, or on all CPUs by lru_add_drain_all. Between, a folio has a reference that no user of it took.
// Which list a folio is on is told by its flags: PG.lru, and PG.unevictable where reclaim must not look.

import type { Pfn } from '../base/units.ts'
import type { AddressSpace } from './address-space.ts'
import type { BuddyAllocator } from './buddy.ts'
import { type FolioTable, PG } from './folio-table.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { CPUS, type Scheduler } from './scheduler.ts'

/** FOLIO_BATCH_SIZE (include/linux/folio_batch.h). */
export const FOLIO_BATCH_SIZE = 31

const DRAIN: Step = { at: 'lru_add_drain_all/lru_add_drain_per_cpu' }

class FolioBatch {
  readonly folios = new Int32Array(FOLIO_BATCH_SIZE)
  count = 0
}

export class Lru {
  /** Whose page cache a frame is in (folio->mapping), by pfn; null: nobody's. */
  readonly mapping: (AddressSpace | null)[]
  readonly #folios: FolioTable
  readonly #buddy: BuddyAllocator
  readonly #scheduler: Scheduler
  readonly #batches = Array.from({ length: CPUS }, () => new FolioBatch())

  constructor(folios: FolioTable, buddy: BuddyAllocator, scheduler: Scheduler) {
    this.#folios = folios
    this.#buddy = buddy
    this.#scheduler = scheduler
    this.mapping = new Array<AddressSpace | null>(folios.flags.length).fill(null)
  }

  /** folio_add_lru: the folio is put into the batch of the running task's CPU. */
  add(pfn: Pfn): void {
    const cpu = this.#scheduler.current.cpu
    const batch = this.#batches[cpu]
    this.#folios.refcount[pfn]++
    batch.folios[batch.count++] = pfn
    if (batch.count === FOLIO_BATCH_SIZE) this.drainCpu(cpu)
  }

  /** folio_isolate_lru: takes the folio off its list, with a reference; false when it is on none. */
  isolate(pfn: Pfn): boolean {
    if (!this.#folios.has(pfn, PG.lru)) return false
    this.#folios.clear(pfn, PG.lru)
    this.#folios.refcount[pfn]++
    return true
  }

  /** folio_putback_lru: back to its list by way of a batch; the reference of `isolate` is dropped. */
  putback(pfn: Pfn): void {
    this.add(pfn)
    this.#buddy.put(pfn)
  }

  /** References that batches hold on a folio. */
  references(pfn: Pfn): number {
    let found = 0
    for (const { folios, count } of this.#batches)
      for (let i = 0; i < count; i++) if (folios[i] === pfn) found++
    return found
  }

  /** lru_add_drain on one CPU: its batch's folios go to their lists. Returns references given back. */
  drainCpu(cpu: number): number {
    const batch = this.#batches[cpu]
    const { folios, count } = batch
    batch.count = 0
    for (let i = 0; i < count; i++) {
      const pfn = folios[i] as Pfn
      this.enter(pfn)
      this.#buddy.put(pfn)
    }
    return count
  }

  /** lru_add: straight onto the list that suits the folio. */
  enter(pfn: Pfn): void {
    // folio_evictable
    if (this.mapping[pfn]?.unevictable) this.#folios.set(pfn, PG.lru | PG.unevictable)
    else this.#folios.set(pfn, PG.lru)
  }

  /** lru_add_drain: on the running task's CPU. */
  drain(): number {
    return this.drainCpu(this.#scheduler.current.cpu)
  }

  /** lru_add_drain_all: on every CPU in turn. Returns references given back. */
  *drainAll(): KernelTask<number> {
    let given = 0
    for (let cpu = 0; cpu < CPUS; cpu++) {
      if (this.#scheduler.stepping) yield DRAIN
      given += this.drainCpu(cpu)
    }
    return given
  }
}
