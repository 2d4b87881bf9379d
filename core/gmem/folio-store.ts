// Where a guest_memfd inode keeps its folios: straight in an xarray, or the way filemap does it.

import type { Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import type { KernelTask } from '../host/kernel-task.ts'

export const storeKinds = ['xarray', 'filemap'] as const
export type StoreKind = (typeof storeKinds)[number]

/** Folios by page index. A folio in it has one reference of the store's. */
export interface FolioStore {
  readonly kind: StoreKind
  /** Flags (PG) a folio has from the moment it enters. */
  readonly entryFlags: number
  /** Another task may be in the way of who finds or removes a folio now: `lookup`, or `settle`, must come first. */
  readonly contended: boolean
  get(index: number): Pfn | null
  /**
   * `get` for who may sleep: as this store finds a folio while others run, waiting for its lock. The answer holds
   * until the caller's next step.
   */
  lookup(index: number): KernelTask<Pfn | null>
  /** Puts a new folio at an empty index; its one reference becomes the store's. */
  add(index: number, pfn: Pfn): void
  /**
   * Fills the empty indexes of [start, end) with what `make(index)` returns, until it returns undefined. Returns the
   * index at which it stopped, or `end`.
   */
  fill(start: number, end: number, make: (index: number) => Pfn | undefined): number
  /** Puts a new large folio at 512 empty indexes from `start`, which is 512-aligned; its references become the store's. */
  addLarge(start: number, first: Pfn): void
  /** The 512 folios from `start`, consecutive frames from `first`, become one large one. */
  merge(start: number, first: Pfn): void
  /** The reverse. */
  split(start: number, first: Pfn): void
  forEach(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void
  /** First index of [start, end) that holds a folio, or -1. */
  first(start: number, end: number): number
  /** Waits until no folio of [start, end) is locked: they may be removed in the same step. */
  settle(start: number, end: number): KernelTask<void>
  /** Takes the folios of [start, end) out; `drop` gets each, with the store's reference. */
  remove(start: number, end: number, drop: (pfn: Pfn) => void): void
  /** The way down the tree to an index, for the inspector. */
  path(index: number): XArrayStep<number>[]
  /** References that the store's machinery holds on a folio for the moment, beyond its one: LRU batches. */
  transientReferences(pfn: Pfn): number
  /** Gives up every such reference, on all CPUs (lru_add_drain_all). */
  drain(): KernelTask<void>
}
