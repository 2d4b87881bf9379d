// Stage 2: a real Sv39x4 page table in host frames, walked by the vCPUs while this thread changes it.
//
// Rules (as KVM RISC-V's gstage.c, with 4 KiB leaves only): a table is zeroed and filled first, linked last, by
// one 64-bit store; A and D are preset in leaves. A table that became empty is unlinked at once but freed only by
// freeUnlinked, once every vCPU has flushed. All methods run under mmu_lock.

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
export const PTE_PRIVATE = PTE_RSW & -PTE_RSW
/** gfns that Sv39x4 reaches: 41 address bits. */
export const STAGE2_GFNS = 2 ** (SV39X4_BITS - 12)
const ROOT_ORDER = 2

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

export class Stage2 {
  readonly #host: Host
  readonly #owner: number
  readonly #unlinked: Pfn[] = []
  /** First of the four frames of the root table. */
  readonly root: Pfn
  /** Table frames in use, the root's four included. */
  tablePages = 4
  /** Leaves. */
  mapped = 0

  /** `owner`: the VM's row. Throws ENOMEM. */
  constructor(host: Host, owner: number) {
    this.#host = host
    this.#owner = owner
    this.root = host.buddy.alloc(ROOT_ORDER, PageType.pgtable, owner, 0)
    for (let i = 0; i < 1 << ROOT_ORDER; i++) host.memory.zeroFrame((this.root + i) as Pfn)
  }

  /** Maps a gfn to a frame. False: no memory for a table. Replaces a leaf that is there. */
  map(gfn: number, pfn: Pfn, writable: boolean, isPrivate: boolean): boolean {
    let table = this.root
    let above = 0
    for (let level = ROOT_LEVEL; level > 0; level--) {
      const at = this.#entryAt(table, gfn, level)
      const low = this.#host.memory.u32[at / 4]
      if (low & Pte.V) table = this.#pfnAt(at)
      else {
        const below = this.#host.buddy.tryAlloc(0, PageType.pgtable, this.#owner, 0)
        if (below < 0) {
          // Nothing else would ever take an empty table away.
          if (table !== this.root && this.#count(table, 0) === 0) {
            this.#unlink(above, table)
            this.#count(this.root, -1)
          }
          return false
        }
        this.#host.memory.zeroFrame(below as Pfn)
        this.tablePages++
        this.#count(table, 1)
        this.#host.memory.storeEntry(at, pteTable(below as Pfn))
        table = below as Pfn
      }
      above = at
    }
    const at = this.#entryAt(table, gfn, 0)
    const { memory } = this.#host
    if (memory.u32[at / 4] & Pte.V) memory.folios.guestMapcount[this.#pfnAt(at)]--
    else {
      this.#count(table, 1)
      this.mapped++
    }
    memory.folios.guestMapcount[pfn]++
    const permission = Pte.R | Pte.X | (writable ? Pte.W : 0)
    memory.storeEntry(at, gstageLeaf(pfn, permission) + (isPrivate ? PTE_PRIVATE : 0))
    return true
  }

  /** Drops the leaves of [start, end) that the filter names. Returns how many there were. */
  unmap(start: number, end: number, filter: LeafFilter): number {
    const last = Math.min(end, STAGE2_GFNS)
    const before = this.mapped
    for (let gfn = start; gfn < last; ) {
      const rootAt = this.#entryAt(this.root, gfn, ROOT_LEVEL)
      if (!(this.#host.memory.u32[rootAt / 4] & Pte.V)) {
        gfn = next(gfn, 2 * INDEX_BITS)
        continue
      }
      const middle = this.#pfnAt(rootAt)
      const middleAt = this.#entryAt(middle, gfn, 1)
      if (this.#host.memory.u32[middleAt / 4] & Pte.V) {
        const table = this.#pfnAt(middleAt)
        this.#unmapTable(table, gfn, Math.min(last, next(gfn, INDEX_BITS)), filter)
        if (this.#count(table, 0) === 0) {
          this.#unlink(middleAt, table)
          if (this.#count(middle, -1) === 0) {
            this.#unlink(rootAt, middle)
            this.#count(this.root, -1)
          }
        }
      }
      gfn = next(gfn, INDEX_BITS)
    }
    return before - this.mapped
  }

  #unmapTable(table: Pfn, start: number, end: number, filter: LeafFilter): void {
    const { memory } = this.#host
    let at = this.#entryAt(table, start, 0)
    let dropped = 0
    for (let gfn = start; gfn < end; gfn++, at += PTE_SIZE) {
      const low = memory.u32[at / 4]
      if (!(low & Pte.V)) continue
      if (low & PTE_PRIVATE ? !filter.private : !filter.shared) continue
      memory.folios.guestMapcount[this.#pfnAt(at)]--
      memory.storeEntry(at, 0)
      dropped++
    }
    this.mapped -= dropped
    this.#count(table, -dropped)
  }

  #unlink(at: number, table: Pfn): void {
    this.#host.memory.storeEntry(at, 0)
    this.#unlinked.push(table)
    this.tablePages--
  }

  /** Frees the tables unlinked so far: only once every vCPU has acknowledged a flush that came after. */
  freeUnlinked(): void {
    for (const table of this.#unlinked) this.#host.buddy.free(table, 0)
    this.#unlinked.length = 0
  }

  /** The leaf of a gfn, or null. */
  leaf(gfn: number): { pfn: Pfn; writable: boolean; private: boolean } | null {
    const steps = this.walk(gfn)
    const last = steps[steps.length - 1]
    if (last.level !== 0 || !(last.entry & Pte.V)) return null
    return {
      pfn: this.#pfnAt(last.hpa),
      writable: (last.entry & Pte.W) !== 0,
      private: (last.entry & PTE_PRIVATE) !== 0,
    }
  }

  /** The entries on the way to a gfn, root first; the last is a leaf or invalid. */
  walk(gfn: number): Stage2Step[] {
    const steps: Stage2Step[] = []
    let table = this.root
    for (let level = ROOT_LEVEL; level >= 0; level--) {
      const hpa = this.#entryAt(table, gfn, level)
      const entry = this.#host.memory.loadEntry(hpa)
      steps.push({ level, index: (hpa - table * PAGE_SIZE) / PTE_SIZE, hpa, entry })
      if (!(this.#host.memory.u32[hpa / 4] & Pte.V)) break
      table = this.#pfnAt(hpa)
    }
    return steps
  }

  /** Every leaf: (gfn, frame, writable, private). For invariants and the inspector. */
  forEachLeaf(visit: (gfn: number, pfn: Pfn, writable: boolean, isPrivate: boolean) => void): void {
    const { u32 } = this.#host.memory
    const valid = (table: Pfn, index: number): number => table * PAGE_SIZE + index * PTE_SIZE
    for (let i = 0; i < GSTAGE_ROOT_ENTRIES; i++) {
      const rootAt = valid(this.root, i)
      if (!(u32[rootAt / 4] & Pte.V)) continue
      for (let j = 0; j < TABLE_ENTRIES; j++) {
        const middleAt = valid(this.#pfnAt(rootAt), j)
        if (!(u32[middleAt / 4] & Pte.V)) continue
        for (let k = 0; k < TABLE_ENTRIES; k++) {
          const at = valid(this.#pfnAt(middleAt), k)
          const low = u32[at / 4]
          if (!(low & Pte.V)) continue
          const gfn = (i * TABLE_ENTRIES + j) * TABLE_ENTRIES + k
          visit(gfn, this.#pfnAt(at), (low & Pte.W) !== 0, (low & PTE_PRIVATE) !== 0)
        }
      }
    }
  }

  /** Gives everything back; no vCPU may run any more. */
  destroy(): void {
    this.unmap(0, STAGE2_GFNS, { private: true, shared: true })
    this.freeUnlinked()
    this.#host.buddy.free(this.root, ROOT_ORDER)
    this.tablePages = 0
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

/** First gfn after `gfn` that is a multiple of 2^bits. */
const next = (gfn: number, bits: number): number => ((gfn >>> bits) + 1) * 2 ** bits
