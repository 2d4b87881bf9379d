// Folios straight in an xarray: with no migration, no swap and no reclaim, nothing of filemap is needed.

import type { Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import { PG } from '../host/folio-table.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { FolioStore } from './folio-store.ts'
import { FolioTree } from './folio-tree.ts'

export class XarrayStore implements FolioStore {
  readonly kind = 'xarray'
  /** On no list, and reclaim must not look. */
  readonly entryFlags = PG.unevictable
  readonly contended = false
  readonly #folios = new FolioTree()

  get(index: number): Pfn | null {
    return this.#folios.get(index)
  }

  // biome-ignore lint/correctness/useYield: a folio that is found cannot go away before the caller's next step
  *lookup(index: number): KernelTask<Pfn | null> {
    return this.get(index)
  }

  add(index: number, pfn: Pfn): void {
    this.#folios.set(index, pfn)
  }

  fill(start: number, end: number, make: (index: number) => Pfn | undefined): number {
    return this.#folios.fill(start, end, make)
  }

  addLarge(start: number, first: Pfn): void {
    this.#folios.setLarge(start, first)
  }

  merge(start: number, first: Pfn): void {
    this.#folios.setLarge(start, first)
  }

  split(start: number, first: Pfn): void {
    this.#folios.split(start, first)
  }

  forEach(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.#folios.forEach(start, end, visit)
  }

  first(start: number, end: number): number {
    return this.#folios.first(start, end)
  }

  /** Nobody locks a folio that memory management does not know. */
  *settle(): KernelTask<void> {}

  remove(start: number, end: number, drop: (pfn: Pfn) => void): void {
    this.#folios.forEach(start, end, (_index, pfn) => drop(pfn))
    this.#folios.erase(start, end)
  }

  path(index: number): XArrayStep<number>[] {
    return this.#folios.path(index)
  }

  /** Nobody but the xarray and the mappings ever refers to a folio. */
  transientReferences(): number {
    return 0
  }

  *drain(): KernelTask<void> {}
}
