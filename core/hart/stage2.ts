// Stage 2: a real Sv39x4 page table in host frames, walked by the vCPUs while this thread changes it.
//
// Rules (as KVM RISC-V's gstage.c): a table is zeroed or filled first, linked last, by one 64-bit store; A and D are
// preset in leaves. A table that was unlinked is freed only by freeUnlinked, once every vCPU has flushed. Leaves are of
// 4 KiB (level 0) or, where a large folio allows, of 2 MiB (level 1); a 2 MiB leaf that loses a part becomes a table
// of the 512 leaves it stood for, in one store, so that a walker sees the same translations before and after. All
// methods run under mmu_lock.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { PageType } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import {
  GSTAGE_ROOT_ENTRIES,
  gstageLeaf,
  INDEX_BITS,
  PTE_PPN_SHIFT,
  PTE_RSW,
  PTE_SIZE,
  Pte,
  pteTable,
  ROOT_LEVEL,
  SV39X4_BITS,
  TABLE_ENTRIES,
} from '../riscv/pagetable.ts'

/** Software bit of a leaf: it maps private memory. The lower RSW bit. */
const PTE_PRIVATE = PTE_RSW & -PTE_RSW
/** gfns that Sv39x4 reaches: 41 address bits. */
export const STAGE2_GFNS = 2 ** (SV39X4_BITS - 12)
/** Pages of a 2 MiB leaf. */
export const LARGE_LEAF_PAGES = TABLE_ENTRIES
const ROOT_ORDER = 2
/** An entry with one of these is a leaf: without them it points to a table. */
const LEAF = Pte.R | Pte.W | Pte.X
/** What the next frame adds to an entry. */
const NEXT_FRAME = 2 ** PTE_PPN_SHIFT

/** Which leaves an unmap is about. */
export interface LeafFilter {
  readonly private: boolean
  readonly shared: boolean
}

/** One entry on the way to a gfn. */
export interface Stage2Step {
  readonly level: number
  readonly index: number
  /** Byte address of the entry in host memory. */
  readonly hpa: number
  readonly entry: number
}

/** What stage 2 says about a gfn. */
export interface Stage2Leaf {
  /** The frame of this gfn, also inside a 2 MiB leaf. */
  readonly pfn: Pfn
  readonly writable: boolean
  readonly private: boolean
  /** 0: a 4 KiB leaf; 1: a 2 MiB leaf. */
  readonly level: number
}

export class Stage2 {
  readonly #host: Host
  readonly #owner: number
  readonly #unlinked: Pfn[] = []
  readonly #leaves: Int32Array | null
  readonly #keepTables: boolean
  /** First of the four frames of the root table. */
  readonly root: Pfn
  /** Table frames in use, the root's four included. */
  tablePages = 4
  /** Pages mapped, of 4 KiB: a 2 MiB leaf counts 512. */
  mapped = 0
  /** 2 MiB leaves. */
  largeLeaves = 0

  /**
   * `owner`: the VM's row. `counted`: the folio table counts the leaves of a frame. `keepTables`: a table stays when its
   * last leaf goes, so that mapping again what was unmapped cannot fail. Throws ENOMEM.
   */
  constructor(host: Host, owner: number, counted = true, keepTables = false) {
    this.#host = host
    this.#owner = owner
    this.#keepTables = keepTables
    this.#leaves = counted ? host.memory.folios.guestMapcount : null
    this.root = host.buddy.alloc(ROOT_ORDER, PageType.pgtable, owner, 0)
    for (let i = 0; i < 1 << ROOT_ORDER; i++) host.memory.zeroFrame((this.root + i) as Pfn)
  }

  /** Maps a gfn to a frame. False: no memory for a table, or a gfn that Sv39x4 does not reach. Replaces a leaf that is there. */
  map(gfn: number, pfn: Pfn, writable: boolean, isPrivate: boolean, executable = true): boolean {
    const middleAt = this.#makeMiddle(gfn)
    if (middleAt < 0) return false
    const { memory } = this.#host
    const entry = leafEntry(pfn, writable, isPrivate, executable)
    const low = memory.u32[middleAt / 4]
    if (low & LEAF) {
      if (memory.loadEntry(middleAt) + (gfn % LARGE_LEAF_PAGES) * NEXT_FRAME === entry) return true
      if (!this.#split(middleAt)) return false
    } else if (!(low & Pte.V)) {
      const below = this.#newTable()
      if (below < 0) {
        this.#dropEmptyMiddle(gfn)
        return false
      }
      memory.zeroFrame(below as Pfn)
      this.#count(frameOf(middleAt), 1)
      memory.storeEntry(middleAt, pteTable(below as Pfn))
    }
    const table = this.#pfnAt(middleAt)
    const at = this.#entryAt(table, gfn, 0)
    if (memory.u32[at / 4] & Pte.V) this.#countLeaves(this.#pfnAt(at), 1, -1)
    else {
      this.#count(table, 1)
      this.mapped++
    }
    this.#countLeaves(pfn, 1, 1)
    memory.storeEntry(at, entry)
    return true
  }

  /**
   * Maps 512 gfns, from one that is a multiple of 512, to as many frames, likewise aligned, by one leaf. False: no
   * memory for a table. Replaces what is there; when that is a table of leaves, hasUnlinked tells that a flush is due.
   */
  mapLarge(gfn: number, pfn: Pfn, writable: boolean, isPrivate: boolean): boolean {
    const middleAt = this.#makeMiddle(gfn)
    if (middleAt < 0) return false
    const { memory } = this.#host
    const entry = leafEntry(pfn, writable, isPrivate)
    const low = memory.u32[middleAt / 4]
    if (!(low & Pte.V)) this.#count(frameOf(middleAt), 1)
    else if (low & LEAF) {
      if (memory.loadEntry(middleAt) === entry) return true
      this.#forgetLarge(middleAt)
    } else this.#forgetTable(this.#pfnAt(middleAt))
    this.#countLeaves(pfn, LARGE_LEAF_PAGES, 1)
    this.mapped += LARGE_LEAF_PAGES
    this.largeLeaves++
    memory.storeEntry(middleAt, entry)
    return true
  }

  /**
   * Drops the leaves of [start, end) that the filter names. A 2 MiB leaf of which only a part goes is split, or drops
   * whole when there is no memory for the table. Returns how many pages are mapped no more.
   */
  unmap(start: number, end: number, filter: LeafFilter): number {
    const last = Math.min(end, STAGE2_GFNS)
    const before = this.mapped
    const { u32 } = this.#host.memory
    for (let gfn = start; gfn < last; ) {
      const middleAt = this.#middleAt(gfn)
      if (middleAt < 0) {
        gfn = next(gfn, 2 * INDEX_BITS)
        continue
      }
      const to = Math.min(last, next(gfn, INDEX_BITS))
      if (u32[middleAt / 4] & LEAF) this.#unmapLarge(middleAt, to - gfn, filter)
      if (isTable(u32[middleAt / 4])) {
        const table = this.#pfnAt(middleAt)
        this.#unmapTable(table, gfn, to, filter)
        if (this.#count(table, 0) === 0 && !this.#keepTables) {
          this.#unlink(middleAt, table)
          this.#count(frameOf(middleAt), -1)
        }
      }
      this.#dropEmptyMiddle(gfn)
      gfn = to
    }
    return before - this.mapped
  }

  /** `pages` pages of a 2 MiB leaf go. */
  #unmapLarge(middleAt: number, pages: number, filter: LeafFilter): void {
    const { memory } = this.#host
    if (memory.u32[middleAt / 4] & PTE_PRIVATE ? !filter.private : !filter.shared) return
    if (pages < LARGE_LEAF_PAGES && this.#split(middleAt)) return
    this.#forgetLarge(middleAt)
    memory.storeEntry(middleAt, 0)
    this.#count(frameOf(middleAt), -1)
  }

  #unmapTable(table: Pfn, start: number, end: number, filter: LeafFilter): void {
    const { memory } = this.#host
    let at = this.#entryAt(table, start, 0)
    let dropped = 0
    for (let gfn = start; gfn < end; gfn++, at += PTE_SIZE) {
      const low = memory.u32[at / 4]
      if (!(low & Pte.V)) continue
      if (low & PTE_PRIVATE ? !filter.private : !filter.shared) continue
      this.#countLeaves(this.#pfnAt(at), 1, -1)
      memory.storeEntry(at, 0)
      dropped++
    }
    this.mapped -= dropped
    this.#count(table, -dropped)
  }

  /**
   * Takes the write permission from the leaves of [start, end); a 2 MiB leaf is split first where only a part of it is
   * meant, or loses it whole when there is no memory for the table. Returns how many pages lost it; the caller flushes.
   */
  writeProtect(start: number, end: number): number {
    const { u32 } = this.#host.memory
    const last = Math.min(end, STAGE2_GFNS)
    let pages = 0
    for (let gfn = start; gfn < last; ) {
      const middleAt = this.#middleAt(gfn)
      if (middleAt < 0) {
        gfn = next(gfn, 2 * INDEX_BITS)
        continue
      }
      const to = Math.min(last, next(gfn, INDEX_BITS))
      const low = u32[middleAt / 4]
      if (low & Pte.W && (to - gfn === LARGE_LEAF_PAGES || !this.#split(middleAt))) {
        this.#writeProtectEntry(middleAt)
        pages += LARGE_LEAF_PAGES
      } else if (isTable(u32[middleAt / 4])) {
        let at = this.#entryAt(this.#pfnAt(middleAt), gfn, 0)
        for (let i = gfn; i < to; i++, at += PTE_SIZE) {
          if (!(u32[at / 4] & Pte.W)) continue
          this.#writeProtectEntry(at)
          pages++
        }
      }
      gfn = to
    }
    return pages
  }

  #writeProtectEntry(at: number): void {
    const { memory } = this.#host
    memory.storeEntry(at, memory.loadEntry(at) - (Pte.W | Pte.D))
  }

  /** A 2 MiB leaf around a gfn becomes a table, so that a part of it can go. False: no memory for the table. */
  split(gfn: number): boolean {
    const middleAt = this.#middleAt(gfn)
    return middleAt < 0 || !(this.#host.memory.u32[middleAt / 4] & LEAF) || this.#split(middleAt)
  }

  /** Replaces a 2 MiB leaf by a table of the 512 leaves it stands for. False: no memory for the table. */
  #split(middleAt: number): boolean {
    const table = this.#newTable()
    if (table < 0) return false
    const { memory } = this.#host
    const first = memory.loadEntry(middleAt)
    for (let i = 0, at = (table * PAGE_SIZE) / 4; i < TABLE_ENTRIES; i++, at += 2) {
      const entry = first + i * NEXT_FRAME
      memory.u32[at] = entry
      memory.u32[at + 1] = Math.floor(entry / 2 ** 32)
    }
    this.#count(table as Pfn, TABLE_ENTRIES)
    this.largeLeaves--
    memory.storeEntry(middleAt, pteTable(table as Pfn))
    return true
  }

  /** A 2 MiB leaf is about to go: its pages are mapped no more. */
  #forgetLarge(middleAt: number): void {
    this.#countLeaves(this.#pfnAt(middleAt), LARGE_LEAF_PAGES, -1)
    this.mapped -= LARGE_LEAF_PAGES
    this.largeLeaves--
  }

  /** A table of leaves is about to go; walkers may be in it until the flush, so its entries stay. */
  #forgetTable(table: Pfn): void {
    const { u32 } = this.#host.memory
    for (let i = 0, at = table * PAGE_SIZE; i < TABLE_ENTRIES; i++, at += PTE_SIZE)
      if (u32[at / 4] & Pte.V) this.#countLeaves(this.#pfnAt(at), 1, -1)
    this.mapped -= this.#count(table, 0)
    this.#unlinked.push(table)
    this.tablePages--
  }

  /** Address of the level-1 entry of a gfn, or -1 where its gigabyte has no table, or the root no entry for it. */
  #middleAt(gfn: number): number {
    if (gfn >= STAGE2_GFNS) return -1
    const rootAt = this.#entryAt(this.root, gfn, ROOT_LEVEL)
    if (!(this.#host.memory.u32[rootAt / 4] & Pte.V)) return -1
    return this.#entryAt(this.#pfnAt(rootAt), gfn, 1)
  }

  /** The same, with the table made; -1 when there is no memory for it, or no place. */
  #makeMiddle(gfn: number): number {
    const present = this.#middleAt(gfn)
    if (present >= 0 || gfn >= STAGE2_GFNS) return present
    const table = this.#newTable()
    if (table < 0) return -1
    const { memory } = this.#host
    memory.zeroFrame(table as Pfn)
    this.#count(this.root, 1)
    memory.storeEntry(this.#entryAt(this.root, gfn, ROOT_LEVEL), pteTable(table as Pfn))
    return this.#entryAt(table as Pfn, gfn, 1)
  }

  /** Unlinks the level-1 table of a gfn when nothing is left in it: nothing else would ever take it away. */
  #dropEmptyMiddle(gfn: number): void {
    const rootAt = this.#entryAt(this.root, gfn, ROOT_LEVEL)
    const middle = this.#pfnAt(rootAt)
    if (this.#count(middle, 0) > 0) return
    this.#unlink(rootAt, middle)
    this.#count(this.root, -1)
  }

  /** A frame for a table, not zeroed, or -1. */
  #newTable(): number {
    const table = this.#host.buddy.tryAlloc(0, PageType.pgtable, this.#owner, 0)
    if (table >= 0) this.tablePages++
    return table
  }

  #unlink(at: number, table: Pfn): void {
    this.#host.memory.storeEntry(at, 0)
    this.#unlinked.push(table)
    this.tablePages--
  }

  /** Tables wait for a flush to be freed. */
  get hasUnlinked(): boolean {
    return this.#unlinked.length > 0
  }

  /** Frees the tables unlinked so far: only once every vCPU has acknowledged a flush that came after. */
  freeUnlinked(): void {
    for (const table of this.#unlinked) this.#host.buddy.put(table)
    this.#unlinked.length = 0
  }

  /** What maps a gfn, or null. */
  leaf(gfn: number): Stage2Leaf | null {
    const last = this.walk(gfn).at(-1)
    if (!last || !(last.entry & LEAF)) return null
    const { level, hpa, entry } = last
    return {
      pfn: (this.#pfnAt(hpa) + (level === 0 ? 0 : gfn % LARGE_LEAF_PAGES)) as Pfn,
      writable: (entry & Pte.W) !== 0,
      private: (entry & PTE_PRIVATE) !== 0,
      level,
    }
  }

  /** The walk of one access: the frame it reaches, or -1 where it faults. */
  translate(gfn: number, write: boolean): number {
    const { u32 } = this.#host.memory
    const middleAt = this.#middleAt(gfn)
    if (middleAt < 0) return -1
    let at = middleAt
    let page = gfn % LARGE_LEAF_PAGES
    if (isTable(u32[at / 4])) {
      at = this.#entryAt(this.#pfnAt(at), gfn, 0)
      page = 0
    }
    return u32[at / 4] & (write ? Pte.W : Pte.R) ? this.#pfnAt(at) + page : -1
  }

  /** The entries on the way to a gfn, root first; the last is a leaf or invalid. None beyond what Sv39x4 reaches. */
  walk(gfn: number): Stage2Step[] {
    const steps: Stage2Step[] = []
    if (gfn >= STAGE2_GFNS) return steps
    let table = this.root
    for (let level = ROOT_LEVEL; level >= 0; level--) {
      const hpa = this.#entryAt(table, gfn, level)
      const entry = this.#host.memory.loadEntry(hpa)
      steps.push({ level, index: (hpa - table * PAGE_SIZE) / PTE_SIZE, hpa, entry })
      if (!isTable(this.#host.memory.u32[hpa / 4])) break
      table = this.#pfnAt(hpa)
    }
    return steps
  }

  /** Every mapped page, those of 2 MiB leaves one by one. For invariants and the inspector. */
  forEachLeaf(
    visit: (gfn: number, pfn: Pfn, writable: boolean, isPrivate: boolean, level: number) => void,
  ): void {
    const { u32 } = this.#host.memory
    const entryOf = (table: Pfn, index: number): number => table * PAGE_SIZE + index * PTE_SIZE
    const tell = (gfn: number, at: number, page: number, level: number): void => {
      const low = u32[at / 4]
      visit(
        gfn + page,
        (this.#pfnAt(at) + page) as Pfn,
        (low & Pte.W) !== 0,
        (low & PTE_PRIVATE) !== 0,
        level,
      )
    }
    for (let i = 0; i < GSTAGE_ROOT_ENTRIES; i++) {
      const rootAt = entryOf(this.root, i)
      if (!(u32[rootAt / 4] & Pte.V)) continue
      for (let j = 0; j < TABLE_ENTRIES; j++) {
        const middleAt = entryOf(this.#pfnAt(rootAt), j)
        const gfn = (i * TABLE_ENTRIES + j) * TABLE_ENTRIES
        if (u32[middleAt / 4] & LEAF)
          for (let page = 0; page < LARGE_LEAF_PAGES; page++) tell(gfn, middleAt, page, 1)
        else if (u32[middleAt / 4] & Pte.V)
          for (let k = 0; k < TABLE_ENTRIES; k++) {
            const at = entryOf(this.#pfnAt(middleAt), k)
            if (u32[at / 4] & Pte.V) tell(gfn + k, at, 0, 0)
          }
      }
    }
  }

  /** Gives everything back; no vCPU may run any more. */
  destroy(): void {
    this.unmap(0, STAGE2_GFNS, { private: true, shared: true })
    this.freeUnlinked()
    for (let i = 0; i < 1 << ROOT_ORDER; i++) this.#host.buddy.put((this.root + i) as Pfn)
    this.tablePages = 0
  }

  /** Leaves of `pages` frames came (1) or went (-1). */
  #countLeaves(pfn: number, pages: number, by: number): void {
    if (this.#leaves) for (let i = 0; i < pages; i++) this.#leaves[pfn + i] += by
  }

  /** The valid entries of a table are counted in its row's `index` column. */
  #count(table: Pfn, by: number): number {
    const { index } = this.#host.memory.folios
    index[table] += by
    return index[table]
  }

  #entryAt(table: Pfn, gfn: number, level: number): number {
    const index =
      level === ROOT_LEVEL
        ? (gfn >>> (2 * INDEX_BITS)) & (GSTAGE_ROOT_ENTRIES - 1)
        : (gfn >>> (level * INDEX_BITS)) & (TABLE_ENTRIES - 1)
    return table * PAGE_SIZE + index * PTE_SIZE
  }

  #pfnAt(at: number): Pfn {
    const { u32 } = this.#host.memory
    return ((u32[at / 4] >>> PTE_PPN_SHIFT) + u32[at / 4 + 1] * 2 ** (32 - PTE_PPN_SHIFT)) as Pfn
  }
}

const leafEntry = (pfn: Pfn, writable: boolean, isPrivate: boolean, executable = true): number =>
  gstageLeaf(pfn, Pte.R | (executable ? Pte.X : 0) | (writable ? Pte.W : 0)) + (isPrivate ? PTE_PRIVATE : 0)

const isTable = (low: number): boolean => (low & (Pte.V | LEAF)) === Pte.V

/** The table that holds the entry at an address. */
const frameOf = (at: number): Pfn => Math.floor(at / PAGE_SIZE) as Pfn

/** First gfn after `gfn` that is a multiple of 2^bits. */
const next = (gfn: number, bits: number): number => ((gfn >>> bits) + 1) * 2 ** bits
