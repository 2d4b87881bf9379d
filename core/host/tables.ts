// The machine tables in shared memory: VMs, memslots, gfn ranges, files. The hypervisor worker writes; the page reads.
//
// These are projections for readers: the kernel's own structures (slot sets, xarrays) live in the hypervisor
// worker's heap. Each group of rows has a generation word that is odd while it is being rewritten (a seqlock),
// so a reader in another thread can tell a torn read and try again.

import { U64_PAGES } from '../base/u64.ts'
import type { XArray } from '../base/xarray.ts'
import {
  FILE_ROW_BYTES,
  type HostLayout,
  MAX_FILE_ROWS,
  MAX_RANGE_ROWS,
  MAX_SLOT_ROWS,
  MAX_VMS,
  RANGE_ROW_BYTES,
  SLOT_ROW_BYTES,
  VM_ROW_BYTES,
} from './layout.ts'

/** VmWord.HYPERVISOR. */
export const HypervisorNumber = { kvm: 1, gunyah: 2 } as const

/** u32 words of a VM row. */
export const VmWord = {
  /** 1: the row is in use. */
  USED: 0,
  /** The hypervisor (HypervisorNumber). */
  HYPERVISOR: 1,
  /** KVM VM type. */
  TYPE: 2,
  SLOTS: 3,
  SLOTS_GENERATION: 4,
  ATTRIBUTES: 5,
  ATTRIBUTES_GENERATION: 6,
  DECLARED: 7,
  DECLARED_GENERATION: 8,
  /** Truncated bits: more ranges or slots than rows, the first ones are shown; ask by typed query. */
  TRUNCATED: 9,
  /** mmu_invalidate_in_progress. */
  INVALIDATE_IN_PROGRESS: 10,
  /** Id of the process whose memory backs the slots. */
  PROCESS: 11,
} as const

/** f64 words of a VM row (index in doubles from the row's start). */
export const VmFloat = {
  INVALIDATE_SEQ: 8,
  INVALIDATE_START: 9,
  INVALIDATE_END: 10,
  STAGE2_ROOT_PFN: 11,
  GUEST_FAULTS: 12,
  CONVERSIONS: 13,
  ZAPPED: 14,
  REMOTE_FLUSHES: 15,
  STAGE2_PAGES: 16,
} as const

/** Bits of VmWord.TRUNCATED. */
export const Truncated = { slots: 1, attributes: 2, declared: 4 } as const

export interface SlotRow {
  readonly id: number
  readonly flags: number
  /** Row in the file table of the bound guest_memfd, or -1. */
  readonly file: number
  readonly baseGfn: number
  readonly pages: number
  readonly userspaceAddr: number
  /** Page index in the file at which the slot starts. */
  readonly fileIndex: number
}

/** Pages [start, end) of a gfn axis. */
export interface GfnRange {
  readonly start: number
  readonly end: number
}

export const FileKind = { gmem: 1, memfd: 2 } as const

export interface FileRow {
  readonly row: number
  readonly kind: number
  readonly ino: number
  /** GUEST_MEMFD_FLAG_* it was created with. */
  readonly flags: number
  /** VM row it was created for, or -1. */
  readonly vm: number
  /** Bytes. */
  readonly size: number
  readonly folios: number
}

/** The range tables of a VM: gfns whose attribute is PRIVATE, gfns the guest declares private. */
export type RangeTable = 'attributes' | 'declared'

const rangeWords = {
  attributes: { count: VmWord.ATTRIBUTES, generation: VmWord.ATTRIBUTES_GENERATION },
  declared: { count: VmWord.DECLARED, generation: VmWord.DECLARED_GENERATION },
} as const

const READ_ATTEMPTS = 64

export class MachineTables {
  readonly #u32: Uint32Array
  readonly #f64: Float64Array
  readonly #layout: HostLayout
  /** What writeSlots wrote last, by VM; the writer's thread only. */
  readonly #shownSlots: SlotRow[][] = Array.from({ length: MAX_VMS }, () => [])

  constructor(buffer: SharedArrayBuffer, layout: HostLayout) {
    this.#u32 = new Uint32Array(buffer, 0, layout.bytes / 4)
    this.#f64 = new Float64Array(buffer, 0, layout.bytes / 8)
    this.#layout = layout
  }

  #vm(vm: number): number {
    return this.#layout.vms + vm * VM_ROW_BYTES
  }

  vmWord(vm: number, word: number): number {
    return Atomics.load(this.#u32, (this.#vm(vm) >> 2) + word)
  }

  setVmWord(vm: number, word: number, value: number): void {
    if (vm >= 0) Atomics.store(this.#u32, (this.#vm(vm) >> 2) + word, value)
  }

  vmFloat(vm: number, float: number): number {
    return this.#f64[(this.#vm(vm) >> 3) + float]
  }

  setVmFloat(vm: number, float: number, value: number): void {
    if (vm >= 0) this.#f64[(this.#vm(vm) >> 3) + float] = value
  }

  addVmFloat(vm: number, float: number, by: number): void {
    if (vm >= 0) this.#f64[(this.#vm(vm) >> 3) + float] += by
  }

  /** Claims a free VM row and clears it; -1 when there is none (the VM then is not shown: writes to row -1 are dropped). */
  allocVm(hypervisor: number, type: number): number {
    for (let vm = 0; vm < MAX_VMS; vm++) {
      if (this.vmWord(vm, VmWord.USED)) continue
      this.#u32.fill(0, this.#vm(vm) >> 2, (this.#vm(vm) + VM_ROW_BYTES) >> 2)
      this.setVmWord(vm, VmWord.HYPERVISOR, hypervisor)
      this.setVmWord(vm, VmWord.TYPE, type)
      this.#shownSlots[vm] = []
      this.setVmWord(vm, VmWord.USED, 1)
      return vm
    }
    return -1
  }

  freeVm(vm: number): void {
    this.setVmWord(vm, VmWord.USED, 0)
  }

  /**
   * Brings a VM's memslot rows up to date (sorted by base gfn by the caller). Rows that hold the same object as
   * at the last call are moved, not rewritten, so a change among many slots stays cheap; `all`: rewrite them.
   */
  writeSlots(vm: number, slots: readonly SlotRow[], all = false): void {
    if (vm < 0) return
    const generation = this.vmWord(vm, VmWord.SLOTS_GENERATION)
    this.setVmWord(vm, VmWord.SLOTS_GENERATION, generation + 1)
    const count = Math.min(slots.length, MAX_SLOT_ROWS)
    if (all) this.#shownSlots[vm] = []
    const shown = this.#shownSlots[vm]
    let head = 0
    while (head < count && head < shown.length && shown[head] === slots[head]) head++
    let tail = 0
    const most = Math.min(count, shown.length) - head
    if (count === slots.length)
      while (tail < most && shown[shown.length - 1 - tail] === slots[count - 1 - tail]) tail++
    const base = this.#layout.slots + vm * MAX_SLOT_ROWS * SLOT_ROW_BYTES
    if (tail > 0 && shown.length !== count) {
      const from = base + (shown.length - tail) * SLOT_ROW_BYTES
      this.#u32.copyWithin(
        (base + (count - tail) * SLOT_ROW_BYTES) >> 2,
        from >> 2,
        (from + tail * SLOT_ROW_BYTES) >> 2,
      )
    }
    for (let i = head; i < count - tail; i++) this.#writeSlot(base + i * SLOT_ROW_BYTES, slots[i])
    this.#shownSlots[vm].splice(head, shown.length - tail - head, ...slots.slice(head, count - tail))
    this.setVmWord(vm, VmWord.SLOTS, count)
    this.#setTruncated(vm, Truncated.slots, slots.length > count)
    this.setVmWord(vm, VmWord.SLOTS_GENERATION, generation + 2)
  }

  #writeSlot(at: number, slot: SlotRow): void {
    this.#u32[at >> 2] = slot.id
    this.#u32[(at >> 2) + 1] = slot.flags
    this.#u32[(at >> 2) + 2] = slot.file + 1
    this.#f64[(at >> 3) + 2] = slot.baseGfn
    this.#f64[(at >> 3) + 3] = slot.pages
    this.#f64[(at >> 3) + 4] = slot.userspaceAddr
    this.#f64[(at >> 3) + 5] = slot.fileIndex
  }

  readSlots(vm: number): SlotRow[] {
    return this.#consistent(vm, VmWord.SLOTS_GENERATION, () => {
      const count = Math.min(this.vmWord(vm, VmWord.SLOTS), MAX_SLOT_ROWS)
      return Array.from({ length: count }, (_, i) => {
        const at = this.#layout.slots + (vm * MAX_SLOT_ROWS + i) * SLOT_ROW_BYTES
        return {
          id: this.#u32[at >> 2],
          flags: this.#u32[(at >> 2) + 1],
          file: this.#u32[(at >> 2) + 2] - 1,
          baseGfn: this.#f64[(at >> 3) + 2],
          pages: this.#f64[(at >> 3) + 3],
          userspaceAddr: this.#f64[(at >> 3) + 4],
          fileIndex: this.#f64[(at >> 3) + 5],
        }
      })
    })
  }

  #setTruncated(vm: number, bit: number, on: boolean): void {
    const bits = this.vmWord(vm, VmWord.TRUNCATED)
    if (((bits & bit) !== 0) !== on) this.setVmWord(vm, VmWord.TRUNCATED, bits ^ bit)
  }

  /**
   * Puts [start, end) into (`inside`) or takes it out of a VM's range table, keeping the rows sorted and merged.
   * False: the rows do not hold all ranges, now or before; nothing was changed, and writeRanges is needed.
   */
  setRange(vm: number, table: RangeTable, start: number, end: number, inside: boolean): boolean {
    if (vm < 0) return true
    if (this.vmWord(vm, VmWord.TRUNCATED) & Truncated[table]) return false
    const words = rangeWords[table]
    const generation = this.vmWord(vm, words.generation)
    this.setVmWord(vm, words.generation, generation + 1)
    const base = this.#ranges(vm, table) >> 3
    const rows = this.#f64
    const count = this.vmWord(vm, words.count)
    // Rows [first, last) touch [start, end); for insertion, adjoining rows count as touching and merge.
    const before = (at: number): boolean =>
      inside ? rows[base + 2 * at + 1] < start : rows[base + 2 * at + 1] <= start
    const after = (at: number): boolean => (inside ? rows[base + 2 * at] > end : rows[base + 2 * at] >= end)
    const first = this.#lowerBound(count, (at) => !before(at))
    const last = Math.max(
      first,
      this.#lowerBound(count, (at) => after(at)),
    )
    const replacement: number[] = []
    if (inside) {
      const low = first < last ? Math.min(start, rows[base + 2 * first]) : start
      const high = first < last ? Math.max(end, rows[base + 2 * last - 1]) : end
      replacement.push(low, high)
    } else if (first < last) {
      const low = rows[base + 2 * first]
      const high = rows[base + 2 * last - 1]
      if (low < start) replacement.push(low, start)
      if (high > end) replacement.push(end, high)
    }
    const next = count - (last - first) + replacement.length / 2
    const fits = next <= MAX_RANGE_ROWS
    if (fits) {
      rows.copyWithin(base + 2 * first + replacement.length, base + 2 * last, base + 2 * count)
      for (let i = 0; i < replacement.length; i++) rows[base + 2 * first + i] = replacement[i]
      this.setVmWord(vm, words.count, next)
    }
    this.setVmWord(vm, words.generation, generation + 2)
    return fits
  }

  /** Writes a VM's range table anew, as many ranges as fit. `ranges` are sorted and merged. */
  writeRanges(vm: number, table: RangeTable, ranges: readonly GfnRange[]): void {
    const words = rangeWords[table]
    const generation = this.vmWord(vm, words.generation)
    this.setVmWord(vm, words.generation, generation + 1)
    const base = this.#ranges(vm, table) >> 3
    const count = Math.min(ranges.length, MAX_RANGE_ROWS)
    for (let i = 0; i < count; i++) {
      this.#f64[base + 2 * i] = ranges[i].start
      this.#f64[base + 2 * i + 1] = ranges[i].end
    }
    this.setVmWord(vm, words.count, count)
    this.#setTruncated(vm, Truncated[table], ranges.length > count)
    this.setVmWord(vm, words.generation, generation + 2)
  }

  readRanges(vm: number, table: RangeTable): GfnRange[] {
    const words = rangeWords[table]
    const base = this.#ranges(vm, table) >> 3
    return this.#consistent(vm, words.generation, () =>
      Array.from({ length: Math.min(this.vmWord(vm, words.count), MAX_RANGE_ROWS) }, (_, i) => ({
        start: this.#f64[base + 2 * i],
        end: this.#f64[base + 2 * i + 1],
      })),
    )
  }

  /** Claims a file row; -1 when there is none (the file then simply is not shown). */
  allocFile(kind: number, ino: number, flags: number, vm: number, size: number): number {
    for (let row = 0; row < MAX_FILE_ROWS; row++) {
      const at = this.#layout.files + row * FILE_ROW_BYTES
      if (Atomics.load(this.#u32, at >> 2)) continue
      this.#u32[(at >> 2) + 1] = ino
      this.#u32[(at >> 2) + 2] = flags
      this.#u32[(at >> 2) + 3] = vm + 1
      this.#u32[(at >> 2) + 4] = 0
      this.#f64[(at >> 3) + 3] = size
      Atomics.store(this.#u32, at >> 2, kind)
      return row
    }
    return -1
  }

  freeFile(row: number): void {
    if (row >= 0) Atomics.store(this.#u32, (this.#layout.files + row * FILE_ROW_BYTES) >> 2, 0)
  }

  /** Adds to the number of folios the file holds. */
  addFileFolios(row: number, by: number): void {
    if (row >= 0) this.#u32[((this.#layout.files + row * FILE_ROW_BYTES) >> 2) + 4] += by
  }

  readFiles(): FileRow[] {
    const files: FileRow[] = []
    for (let row = 0; row < MAX_FILE_ROWS; row++) {
      const at = this.#layout.files + row * FILE_ROW_BYTES
      const kind = Atomics.load(this.#u32, at >> 2)
      if (!kind) continue
      files.push({
        row,
        kind,
        ino: this.#u32[(at >> 2) + 1],
        flags: this.#u32[(at >> 2) + 2],
        vm: this.#u32[(at >> 2) + 3] - 1,
        folios: this.#u32[(at >> 2) + 4],
        size: this.#f64[(at >> 3) + 3],
      })
    }
    return files
  }

  #ranges(vm: number, table: RangeTable): number {
    return this.#layout[table] + vm * MAX_RANGE_ROWS * RANGE_ROW_BYTES
  }

  #lowerBound(count: number, holds: (at: number) => boolean): number {
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >> 1
      if (holds(middle)) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Reads under the seqlock at `word`; after many torn attempts returns the last (the next frame reads again). */
  #consistent<T>(vm: number, word: number, read: () => T): T {
    for (let attempt = 0; ; attempt++) {
      const before = this.vmWord(vm, word)
      const value = read()
      if ((before % 2 === 0 && this.vmWord(vm, word) === before) || attempt === READ_ATTEMPTS) return value
    }
  }
}

/**
 * Shows in a range table that [start, end) entered or left the gfns whose entry in `truth` is `shown`. As long as
 * they fit into the rows only the rows concerned change; otherwise the table is written anew.
 */
export const mirrorRange = <T>(
  tables: MachineTables,
  vm: number,
  table: RangeTable,
  start: number,
  end: number,
  inside: boolean,
  truth: XArray<T>,
  shown: (value: T) => boolean,
): void => {
  if (tables.setRange(vm, table, start, end, inside)) return
  const ranges: { start: number; end: number }[] = []
  truth.forRange(0, U64_PAGES, (value, from, to) => {
    if (!shown(value)) return
    const last = ranges.at(-1)
    if (last?.end === from) last.end = to
    else ranges.push({ start: from, end: to })
  })
  tables.writeRanges(vm, table, ranges)
}
