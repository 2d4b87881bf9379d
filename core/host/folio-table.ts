// The folio table: one row per host page frame, a struct of arrays in shared memory indexed by pfn.
//
// The hypervisor worker is its only writer; the page reads it to draw. Flags mirror struct folio
// (include/linux/page-flags.h); the top byte is the page type, which says who owns the frame.

import type { Pfn } from '../base/units.ts'
import type { HostLayout } from './layout.ts'

/** Flag bits of a folio (names as in enum pageflags). */
export const PG = {
  locked: 1 << 0,
  referenced: 1 << 1,
  uptodate: 1 << 2,
  dirty: 1 << 3,
  lru: 1 << 4,
  hwpoison: 1 << 5,
  unevictable: 1 << 6,
  mlocked: 1 << 7,
  /** Anonymous memory that one page table entry alone refers to (PG_anon_exclusive): written without a copy. */
  anonExclusive: 1 << 8,
  /** First frame of a large folio: it and the 511 after it are one, aligned to its size, with consecutive indexes. */
  head: 1 << 9,
  /** Not in the host's stage 2: lent to a Gunyah guest. */
  lent: 1 << 10,
} as const

/** Page type: the one owner of a frame (invariant F1), in bits 31..24 of the flags. */
export const PageType = {
  free: 0,
  /** Under the header, tables and rings of this layout. */
  reserved: 1,
  /** A process's anonymous memory: owner = process id, index = hva / 4096. */
  anon: 2,
  /** Page cache of an ordinary memfd: owner = file row, index = page index in the file. */
  file: 3,
  /** Page cache of a guest_memfd: owner = file row, index = page index in the file. */
  gmem: 4,
  /** Stage-2 page table: owner = VM row. */
  pgtable: 5,
  kernel: 6,
  /** Out of use for ever: a memory error was reported in it. */
  hwpoison: 7,
  /** Lent to a guest that did not give it back; never used again: owner = the guest's vmid. */
  lost: 8,
} as const

const TYPE_SHIFT = 24

/** Columns of the folio table; also what the page's readers use. */
export class FolioTable {
  readonly flags: Uint32Array
  readonly refcount: Int32Array
  /** Host page-table entries that map the frame. */
  readonly mapcount: Int32Array
  /** Stage-2 leaves that map the frame. */
  readonly guestMapcount: Int32Array
  readonly owner: Uint32Array
  readonly index: Float64Array

  constructor(buffer: SharedArrayBuffer, layout: HostLayout) {
    const n = layout.frames
    // The f64 column comes first: it needs 8-byte alignment whatever n is.
    let at = layout.folios
    this.index = new Float64Array(buffer, at, n)
    at += 8 * n
    this.flags = new Uint32Array(buffer, at, n)
    at += 4 * n
    this.refcount = new Int32Array(buffer, at, n)
    at += 4 * n
    this.mapcount = new Int32Array(buffer, at, n)
    at += 4 * n
    this.guestMapcount = new Int32Array(buffer, at, n)
    at += 4 * n
    this.owner = new Uint32Array(buffer, at, n)
  }

  type(pfn: Pfn): number {
    return this.flags[pfn] >>> TYPE_SHIFT
  }

  has(pfn: Pfn, flag: number): boolean {
    return (this.flags[pfn] & flag) !== 0
  }

  set(pfn: Pfn, flag: number): void {
    this.flags[pfn] |= flag
  }

  clear(pfn: Pfn, flag: number): void {
    this.flags[pfn] &= ~flag
  }

  /** Gives the frame a new owner; flags other than the type are cleared. */
  assign(pfn: Pfn, type: number, owner: number, index: number): void {
    this.flags[pfn] = (type << TYPE_SHIFT) >>> 0
    this.owner[pfn] = owner
    this.index[pfn] = index
  }
}
