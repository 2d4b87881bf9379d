// The page table of a process: hva / 4096 -> frame and permissions; an entry holds a reference to its frame, unless it is
// special.
//
// What changes entries here tells nobody: the process does that, between the MMU notifications (process.ts).

import type { Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'

/** An entry in place of one whose frame had a memory error (a hwpoison swap entry). */
export const HWPOISON_ENTRY = -1
const WRITABLE = 1
/** The entry keeps its frame and allows nothing (PROT_NONE). */
const NO_ACCESS = 2

/** The entry shows a frame that it does not own (pte_special): it holds no reference. */
const SPECIAL = 4
const PERMISSION_BITS = 3

/** The frame of an entry other than HWPOISON_ENTRY. */
export const entryPfn = (entry: number): Pfn => (entry >>> PERMISSION_BITS) as Pfn
export const entryWritable = (entry: number): boolean => (entry & WRITABLE) !== 0
const entryOf = (pfn: Pfn, permissions: number): number => pfn * 2 ** PERMISSION_BITS + permissions

/** Ranges are page numbers [first, last). */
export class PageTable {
  readonly #host: Host
  readonly #entries = new XArray<number>()

  constructor(host: Host) {
    this.#host = host
  }

  /** The entry of a page. */
  get(page: number): number | undefined {
    return this.#entries.get(page)
  }

  /** The frame of a page whose entry allows the access, or null: it faults. */
  reach(page: number, write: boolean): Pfn | null {
    const entry = this.#entries.get(page)
    if (entry === undefined || entry < 0 || entry & NO_ACCESS || (write && !(entry & WRITABLE))) return null
    return entryPfn(entry)
  }

  /** Every page that has a frame. */
  forEach(first: number, last: number, visit: (page: number, pfn: Pfn, writable: boolean) => void): void {
    this.#entries.forRange(first, last, (entry, page) => {
      if (entry !== HWPOISON_ENTRY && !(entry & SPECIAL)) visit(page, entryPfn(entry), entryWritable(entry))
    })
  }

  /** Maps a page that has no entry, or one whose frame was dropped; takes over a reference. */
  install(page: number, pfn: Pfn, writable: boolean): void {
    this.#host.memory.folios.mapcount[pfn]++
    this.#entries.set(page, entryOf(pfn, writable ? WRITABLE : 0))
    this.#host.memory.bumpGeneration()
  }

  /** vm_insert_pfn: maps a page that has no entry to a frame that stays somebody else's. */
  installPfn(page: number, pfn: Pfn, writable: boolean): void {
    this.#entries.set(page, entryOf(pfn, SPECIAL | (writable ? WRITABLE : 0)))
  }

  /** wp_page_reuse: write permission for a page that has a frame. */
  allowWrite(page: number, entry: number): Pfn {
    this.#entries.set(page, entry | WRITABLE)
    this.#host.memory.bumpGeneration()
    return entryPfn(entry)
  }

  /** wp_page_copy's last part: another frame, writable, takes the place of an entry's. */
  replace(page: number, entry: number, pfn: Pfn): void {
    this.#drop(entry)
    this.install(page, pfn, true)
  }

  /** copy_page_range: maps what the parent maps, and neither may write any more. */
  copyFrom(parent: PageTable, first: number, last: number): void {
    const { folios } = this.#host.memory
    parent.#change(first, last, (page, entry) => {
      if (entry === HWPOISON_ENTRY) {
        this.#entries.set(page, entry)
        return entry
      }
      const pfn = entryPfn(entry)
      folios.clear(pfn, PG.anonExclusive)
      folios.mapcount[pfn]++
      this.#host.buddy.get(pfn)
      this.#entries.set(page, entry & ~WRITABLE)
      return entry & ~WRITABLE
    })
    this.#host.memory.bumpGeneration()
  }

  /** Drops every entry. */
  zap(first: number, last: number): void {
    this.#entries.forRange(first, last, (entry) => {
      if (entry !== HWPOISON_ENTRY) this.#drop(entry)
    })
    this.#entries.store(first, last, undefined)
    this.#host.memory.bumpGeneration()
  }

  /** Drops what shows a file's pages: copies that private mappings made of them, and poison, stay. */
  zapFilePages(first: number, last: number): void {
    const { folios } = this.#host.memory
    const kept: [from: number, to: number, entry: number][] = []
    this.#entries.forRange(first, last, (entry, from, to) => {
      if (entry === HWPOISON_ENTRY || folios.type(entryPfn(entry)) === PageType.anon)
        kept.push([from, to, entry])
      else this.#drop(entry)
    })
    this.#entries.store(first, last, undefined)
    for (const [from, to, entry] of kept) this.#entries.store(from, to, entry)
    this.#host.memory.bumpGeneration()
  }

  /** Replaces the entry of a page by one that makes every access SIGBUS (try_to_unmap with TTU_HWPOISON). */
  poison(page: number): void {
    const entry = this.#entries.get(page)
    if (entry === undefined || entry === HWPOISON_ENTRY) return
    this.#drop(entry)
    this.#entries.set(page, HWPOISON_ENTRY)
    this.#host.memory.bumpGeneration()
  }

  /** Points the entry of a page at another frame with the same permissions; its reference moves along. */
  remap(page: number, to: Pfn): void {
    const entry = this.#entries.get(page)
    if (entry === undefined || entry === HWPOISON_ENTRY) return
    this.#host.buddy.get(to)
    this.#host.memory.folios.mapcount[to]++
    this.#entries.set(page, entryOf(to, entry & (WRITABLE | NO_ACCESS)))
    this.#drop(entry)
  }

  /**
   * change_protection: takes write permission from the entries, which a fault gives back where the mapping has it;
   * without `accessible`, all permission.
   */
  protect(first: number, last: number, accessible: boolean): void {
    this.#change(first, last, (_page, entry) =>
      entry === HWPOISON_ENTRY
        ? entry
        : entryOf(entryPfn(entry), (entry & SPECIAL) | (accessible ? 0 : NO_ACCESS)),
    )
  }

  #drop(entry: number): void {
    if (entry & SPECIAL) return
    const pfn = entryPfn(entry)
    this.#host.memory.folios.mapcount[pfn]--
    this.#host.buddy.put(pfn)
  }

  /** Replaces every entry by what `change` returns for it. */
  #change(first: number, last: number, change: (page: number, entry: number) => number): void {
    const pages: number[] = []
    this.#entries.forRange(first, last, (_entry, from, to) => {
      for (let page = from; page < to; page++) pages.push(page)
    })
    for (const page of pages) {
      const entry = this.#entries.get(page)
      if (entry !== undefined) this.#entries.set(page, change(page, entry))
    }
  }
}
