// The xarray of a file's folios, by page index. A large folio is one multi-index entry, as in the kernel's i_pages.

import type { Pfn } from '../base/units.ts'
import { XArray, type XArrayStep } from '../base/xarray.ts'

/** Frames of a large folio, and indexes of its entry: 2 MiB. */
export const LARGE_PAGES = 512

/** Entry of a large folio: its first frame's complement, so that the sign tells it from a small folio's frame. */
const largeEntry = (first: Pfn): number => ~first

/** The frame that an entry stands for at an index. */
const frameAt = (entry: number, index: number): Pfn =>
  (entry < 0 ? ~entry + (index % LARGE_PAGES) : entry) as Pfn

export class FolioTree {
  readonly #entries = new XArray<number>()

  get(index: number): Pfn | null {
    const entry = this.#entries.get(index)
    return entry === undefined ? null : frameAt(entry, index)
  }

  set(index: number, pfn: Pfn): void {
    this.#entries.set(index, pfn)
  }

  /** One entry for [start, start + 512), which is 512-aligned; what was there is replaced. */
  setLarge(start: number, first: Pfn): void {
    this.#entries.store(start, start + LARGE_PAGES, largeEntry(first))
  }

  /** The entry of a large folio becomes 512 (xas_split). */
  split(start: number, first: Pfn): void {
    const end = start + LARGE_PAGES
    this.#entries.store(start, end, undefined)
    this.#entries.fill(start, end, (index) => first + index - start)
  }

  /** XArray.fill. */
  fill(start: number, end: number, make: (index: number) => Pfn | undefined): number {
    return this.#entries.fill(start, end, make)
  }

  forEach(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.#entries.forRange(start, end, (entry, from, to) => {
      if (entry >= 0) visit(from, entry as Pfn)
      else for (let index = from; index < to; index++) visit(index, frameAt(entry, index))
    })
  }

  /** First index of [start, end) that holds a folio, or -1. */
  first(start: number, end: number): number {
    return this.#entries.find(start, end) === undefined ? -1 : Math.max(start, this.#entries.foundStart)
  }

  erase(start: number, end: number): void {
    this.#entries.store(start, end, undefined)
  }

  /** The way down to an index; the value at its end is the frame there. */
  path(index: number): XArrayStep<number>[] {
    return this.#entries
      .path(index)
      .map((step) => (step.value === undefined ? step : { ...step, value: frameAt(step.value, index) }))
  }
}
