// Memslots: a range of guest physical addresses with its backings, and the sets that vCPUs look them up in.

import { PAGE_SIZE } from '../base/units.ts'
import type { GmemFile } from '../gmem/file.ts'
import type { SlotRow } from '../host/tables.ts'
import type { DirtyBitmap } from './dirty-log.ts'
import { MemFlag } from './uapi.ts'

/** One memslot. Its fields never change, except that the file goes away under it. */
export class Memslot implements SlotRow {
  readonly id: number
  readonly flags: number
  readonly baseGfn: number
  readonly pages: number
  readonly userspaceAddr: number
  /** Page index in the guest_memfd file at which the slot starts. */
  readonly fileIndex: number
  /** The bound file (not a reference); null without one, and once the file is gone. */
  gmem: GmemFile<Memslot> | null
  /** Which pages the guest has written; null when that is not logged. */
  readonly dirtyBitmap: DirtyBitmap | null

  constructor(
    fields: Pick<
      Memslot,
      'id' | 'flags' | 'baseGfn' | 'pages' | 'userspaceAddr' | 'fileIndex' | 'gmem' | 'dirtyBitmap'
    >,
  ) {
    this.id = fields.id
    this.flags = fields.flags
    this.baseGfn = fields.baseGfn
    this.pages = fields.pages
    this.userspaceAddr = fields.userspaceAddr
    this.fileIndex = fields.fileIndex
    this.gmem = fields.gmem
    this.dirtyBitmap = fields.dirtyBitmap
  }

  /** Row of the bound file in the shared file table, or -1. */
  get file(): number {
    return this.gmem ? this.gmem.inode.row : -1
  }

  get endGfn(): number {
    return this.baseGfn + this.pages
  }

  /** Created with a guest_memfd, whether or not the file still lives. */
  get hasGmem(): boolean {
    return (this.flags & MemFlag.GUEST_MEMFD) !== 0
  }

  get gmemOnly(): boolean {
    return (this.flags & MemFlag.GMEM_ONLY) !== 0
  }

  get invalid(): boolean {
    return (this.flags & MemFlag.INVALID) !== 0
  }

  get readonly(): boolean {
    return (this.flags & MemFlag.READONLY) !== 0
  }

  fileIndexOf(gfn: number): number {
    return gfn - this.baseGfn + this.fileIndex
  }

  gfnOf(fileIndex: number): number {
    return this.baseGfn + fileIndex - this.fileIndex
  }

  hvaOf(gfn: number): number {
    return this.userspaceAddr + (gfn - this.baseGfn) * PAGE_SIZE
  }

  /** A copy with other flags: what readers see while the slot is deleted or moved. */
  withFlags(flags: number): Memslot {
    return new Memslot({ ...this, flags })
  }
}

/** One of the two slot sets of an address space: by id, and sorted by gfn. */
export class MemslotSet {
  readonly #byId = new Map<number, Memslot>()
  readonly #sorted: Memslot[] = []

  get sorted(): readonly Memslot[] {
    return this.#sorted
  }

  byId(id: number): Memslot | null {
    return this.#byId.get(id) ?? null
  }

  /** Position of the first slot that ends after `gfn`. */
  #firstAfter(gfn: number): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sorted[middle].endGfn > gfn) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The slot that holds a gfn, or null. */
  find(gfn: number): Memslot | null {
    const slot = this.#sorted[this.#firstAfter(gfn)]
    return slot && slot.baseGfn <= gfn ? slot : null
  }

  /** Slots that touch gfns [start, end), in order. */
  within(start: number, end: number): Memslot[] {
    const found: Memslot[] = []
    for (let i = this.#firstAfter(start); i < this.#sorted.length && this.#sorted[i].baseGfn < end; i++)
      found.push(this.#sorted[i])
    return found
  }

  /** True when a slot other than `except` touches [start, end). */
  overlaps(start: number, end: number, except: number): boolean {
    for (let i = this.#firstAfter(start); i < this.#sorted.length && this.#sorted[i].baseGfn < end; i++)
      if (this.#sorted[i].id !== except) return true
    return false
  }

  insert(slot: Memslot): void {
    this.#byId.set(slot.id, slot)
    this.#sorted.splice(this.#firstAfter(slot.baseGfn), 0, slot)
  }

  remove(slot: Memslot): void {
    this.#byId.delete(slot.id)
    const at = this.#firstAfter(slot.baseGfn)
    if (this.#sorted[at] !== slot) throw new Error(`memslot ${slot.id} is not in the set`)
    this.#sorted.splice(at, 1)
  }

  replace(old: Memslot, slot: Memslot): void {
    if (old.baseGfn !== slot.baseGfn || old.id !== slot.id) {
      this.remove(old)
      this.insert(slot)
      return
    }
    this.#byId.set(slot.id, slot)
    this.#sorted[this.#firstAfter(slot.baseGfn)] = slot
  }
}
