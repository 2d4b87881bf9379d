// 2 MiB folios in a guest_memfd: taken whole, split where a part is punched or shared, merged when it can be again.
//
// Project-own (kvm.gmem_large_folios): Linux's guest_memfd has folios of order 0 only. The rules are those proposed
// for one backed by HugeTLB (RFC of May 2025): shared memory is only ever mapped at 4 KiB, so a large folio with any
// shared part is split, and merged back once the whole of it is private and nobody holds a page of it.
//
// A large folio is 512 frames of one buddy block at 512 aligned indexes. Every frame keeps its own row, references
// and state; the first has PG.head, and the store one entry for them all. So nothing is copied: to split is to clear
// the flag and make the entry 512, to merge the reverse. Merging needs the frames of one block in their order: pages
// that were punched mostly come back as others, nothing is migrated, and their 2 MiB stay split until punched whole.

import type { Pfn } from '../base/units.ts'
import { MAX_ORDER } from '../host/buddy.ts'
import { type FolioTable, PG } from '../host/folio-table.ts'
import { LARGE_PAGES } from './folio-tree.ts'
import type { GmemInode } from './inode.ts'

/** References to a frame that only the page cache has. */
const PAGE_CACHE_ONLY = 1

/** True for every frame of a large folio. */
export const isLargeFolio = (folios: FolioTable, pfn: Pfn): boolean =>
  folios.has((pfn - (pfn % LARGE_PAGES)) as Pfn, PG.head)

/** The large folios of one file. */
export class LargeFolios {
  readonly #inode: GmemInode

  constructor(inode: GmemInode) {
    this.#inode = inode
  }

  /**
   * Puts a large folio around an index where its 2 MiB lie in the file, hold nothing yet and are all private. False:
   * they do not, or no block is free.
   */
  tryFill(index: number): boolean {
    const { store, pages, host } = this.#inode
    const start = index - (index % LARGE_PAGES)
    const end = start + LARGE_PAGES
    if (end > pages || store.first(start, end) >= 0 || !this.#private(start, end)) return false
    const first = this.#inode.takeFrames(MAX_ORDER, start)
    if (first < 0) return false
    const { folios } = host.memory
    for (let i = 0; i < LARGE_PAGES; i++) {
      folios.index[first + i] = start + i
      folios.set((first + i) as Pfn, store.entryFlags)
    }
    folios.set(first as Pfn, PG.head)
    store.addLarge(start, first as Pfn)
    host.memory.tables.addFileFolios(this.#inode.row, LARGE_PAGES)
    return true
  }

  /** Zeroes a large folio that nobody has seen yet, all of it. */
  makeUptodate(pfn: Pfn): void {
    const { memory } = this.#inode.host
    const first = pfn - (pfn % LARGE_PAGES)
    for (let i = 0; i < LARGE_PAGES; i++) {
      memory.zeroFrame((first + i) as Pfn)
      memory.folios.set((first + i) as Pfn, PG.uptodate)
    }
  }

  /** Splits the large folios that [start, end) touches. */
  split(start: number, end: number): void {
    this.#forEach(start, end, (at, first) => this.#split(at, first))
  }

  /** The folios of [start, end) are about to leave the file: large ones cease to be, or are split when a part stays. */
  release(start: number, end: number): void {
    const { folios } = this.#inode.host.memory
    this.#forEach(start, end, (at, first) => {
      if (at < start || at + LARGE_PAGES > end) this.#split(at, first)
      else folios.clear(first, PG.head)
    })
  }

  /** Makes large folios again of the 2 MiB that [start, end) touches, where they can be. */
  merge(start: number, end: number): void {
    const { store } = this.#inode
    for (let at = store.first(start, end); at >= 0; at = store.first(at, end)) {
      at -= at % LARGE_PAGES
      const first = this.#mergeable(at)
      if (first >= 0) this.#merge(at, first as Pfn)
      at += LARGE_PAGES
    }
  }

  #private(start: number, end: number): boolean {
    const { states, startsShared } = this.#inode
    return states ? states.isUniform(start, end, 'private') : !startsShared
  }

  #forEach(start: number, end: number, visit: (at: number, first: Pfn) => void): void {
    const { store, host } = this.#inode
    for (let at = store.first(start, end); at >= 0; at = store.first(at, end)) {
      at -= at % LARGE_PAGES
      const first = store.get(at)
      if (first !== null && host.memory.folios.has(first, PG.head)) visit(at, first)
      at += LARGE_PAGES
    }
  }

  #split(at: number, first: Pfn): void {
    const { store, host, row } = this.#inode
    host.memory.folios.clear(first, PG.head)
    store.split(at, first)
    host.trace('gmem_split_folio', row, at, first)
  }

  #merge(at: number, first: Pfn): void {
    const { store, host, row } = this.#inode
    host.memory.folios.set(first, PG.head)
    store.merge(at, first)
    host.trace('gmem_merge_folio', row, at, first)
  }

  /**
   * The first frame of 512 that can be a large folio at `at`, or -1: one block in order, all up to date or none, no
   * memory error, no references but the page cache's.
   */
  #mergeable(at: number): number {
    const { store, pages, host } = this.#inode
    const { folios } = host.memory
    const end = at + LARGE_PAGES
    if (end > pages) return -1
    const first = store.get(at)
    if (first === null || first % LARGE_PAGES !== 0 || folios.has(first, PG.head)) return -1
    // Most often the last page tells: only then all are asked.
    if (store.get(end - 1) !== first + LARGE_PAGES - 1 || !this.#private(at, end)) return -1
    const state = folios.flags[first] & (PG.uptodate | PG.hwpoison)
    let fit = state & PG.hwpoison ? 0 : LARGE_PAGES
    store.forEach(at, end, (index, pfn) => {
      if (
        pfn - first === index - at &&
        folios.refcount[pfn] === PAGE_CACHE_ONLY &&
        (folios.flags[pfn] & (PG.uptodate | PG.hwpoison)) === state
      )
        fit--
    })
    return fit === 0 ? first : -1
  }
}
