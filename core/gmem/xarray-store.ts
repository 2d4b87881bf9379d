// Folios straight in an xarray: with no migration, no swap and no reclaim, nothing of filemap is needed.

import type { Pfn } from '../base/units.ts'
import { XArray, type XArrayStep } from '../base/xarray.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { FolioStore } from './folio-store.ts'

export class XarrayStore implements FolioStore {
  readonly kind = 'xarray'
  readonly #folios = new XArray<number>()

  get(index: number): Pfn | null {
    return (this.#folios.get(index) as Pfn | undefined) ?? null
  }

  add(index: number, pfn: Pfn): void {
    this.#folios.set(index, pfn)
  }

  fill(start: number, end: number, make: (index: number) => Pfn | undefined): number {
    return this.#folios.fill(start, end, make)
  }

  forEach(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.#folios.forRange(start, end, (pfn, index) => visit(index, pfn as Pfn))
  }

  first(start: number, end: number): number {
    return this.#folios.find(start, end) === undefined ? -1 : Math.max(start, this.#folios.foundStart)
  }

  remove(start: number, end: number, drop: (pfn: Pfn) => void): void {
    this.#folios.forRange(start, end, (pfn) => drop(pfn as Pfn))
    this.#folios.store(start, end, undefined)
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
