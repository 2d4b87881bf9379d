// Virtual memory areas: the mappings of a process, sorted and disjoint.

import { PAGE_SIZE } from '../base/units.ts'
import type { OpenFile } from './file.ts'
import type { Mempolicy } from './mempolicy.ts'
import type { Process } from './process.ts'

/** Protection bits of mmap(2). */
export const Prot = { READ: 1, WRITE: 2, EXEC: 4 } as const

/** One mapping; addresses are bytes, page aligned. */
export interface Vma {
  readonly process: Process
  readonly start: number
  readonly end: number
  /** Prot bits. */
  readonly prot: number
  /** Prot bits that mprotect may give (VM_MAY*). */
  readonly mayProt: number
  readonly shared: boolean
  /** null: anonymous memory. The mapping holds a reference. */
  readonly file: OpenFile | null
  /** Page index in the file at `start`. */
  readonly fileIndex: number
  readonly locked: boolean
  /** A child does not get it (VM_DONTCOPY, MADV_DONTFORK). */
  readonly dontCopy: boolean
  /** A child gets it empty (VM_WIPEONFORK). */
  readonly wipeOnFork: boolean
  /** NUMA policy of the mapping itself (mbind); null: the task's. A file may keep one of its own. */
  readonly policy: Mempolicy | null
}

/** Page index in the file that address `at` of the mapping shows. */
export const fileIndexAt = (vma: Vma, at: number): number =>
  vma.fileIndex + Math.floor((at - vma.start) / PAGE_SIZE)

/** The policy of an address itself, not its task's: that of the file, where it keeps one (__get_vma_policy). */
export const policyOf = (vma: Vma, address: number): Mempolicy | null =>
  vma.file?.sharedPolicy ? vma.file.sharedPolicy.get(fileIndexAt(vma, address)) : vma.policy

/** Unmapped bytes kept around every mapping: a call that reaches beyond one finds a hole, not its neighbour. */
const GUARD = 2 ** 28

export class VmaList {
  readonly #list: Vma[] = []
  /** Below every address given out so far. */
  #lowest = Number.POSITIVE_INFINITY

  get all(): readonly Vma[] {
    return this.#list
  }

  /** Position of the first mapping that ends after `address`. */
  #firstAfter(address: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#list[middle].end > address) high = middle
      else low = middle + 1
    }
    return low
  }

  find(address: number): Vma | null {
    const vma = this.#list[this.#firstAfter(address)]
    return vma && vma.start <= address ? vma : null
  }

  /** The mappings that touch [start, end), in order. */
  within(start: number, end: number): Vma[] {
    const found: Vma[] = []
    for (let i = this.#firstAfter(start); i < this.#list.length && this.#list[i].start < end; i++)
      found.push(this.#list[i])
    return found
  }

  insert(vma: Vma): void {
    this.#list.splice(this.#firstAfter(vma.start), 0, vma)
    this.#lowest = Math.min(this.#lowest, vma.start - GUARD)
    vma.file?.mappings?.add(vma)
    vma.file?.get()
  }

  /**
   * Cuts [start, end) out of every mapping. Returns the parts cut out, as mappings of their own, and the files
   * whose reference the caller must put once no lock is held. Files still find the parts (to unmap what they lose)
   * until the caller, having dropped their pages, calls `unlink`.
   */
  remove(start: number, end: number): { removed: Vma[]; files: OpenFile[] } {
    const touched = this.within(start, end)
    const removed: Vma[] = []
    const files: OpenFile[] = []
    for (const vma of touched) {
      this.#list.splice(this.#list.indexOf(vma), 1)
      vma.file?.mappings?.delete(vma)
      if (vma.start < start) this.insert(slice(vma, vma.start, start))
      if (vma.end > end) this.insert(slice(vma, end, vma.end))
      const part = slice(vma, Math.max(start, vma.start), Math.min(end, vma.end))
      vma.file?.mappings?.add(part)
      removed.push(part)
      if (vma.file) files.push(vma.file)
    }
    return { removed, files }
  }

  /** Makes the files forget mappings cut out. */
  unlink(removed: readonly Vma[]): void {
    for (const vma of removed) vma.file?.mappings?.delete(vma)
  }

  /** Changes what is mapped in [start, end), splitting mappings at its ends. Returns files to put, as `remove`. */
  change(
    start: number,
    end: number,
    fields: Partial<Pick<Vma, 'prot' | 'locked' | 'dontCopy' | 'wipeOnFork' | 'policy'>>,
  ): OpenFile[] {
    const { removed, files } = this.remove(start, end)
    this.unlink(removed)
    for (const part of removed) this.insert({ ...part, ...fields })
    return files
  }

  /**
   * Where to map `length` bytes between `bottom` and `top`, with room on either side; -1: nowhere.
   * Top down, and below everything mapped before as long as there is room, so that a stale address faults
   * instead of reaching a newer mapping; then the highest hole.
   */
  findHole(length: number, bottom: number, top: number): number {
    const fresh = Math.min(this.#lowest, top) - length
    if (fresh >= bottom) {
      this.#lowest = fresh - GUARD
      return fresh
    }
    let end = top
    for (let i = this.#list.length - 1; i >= 0; i--) {
      const vma = this.#list[i]
      if (vma.end + GUARD <= end - length) break
      end = Math.min(end, vma.start - GUARD)
    }
    return end - length >= bottom ? end - length : -1
  }
}

const slice = (vma: Vma, start: number, end: number): Vma => ({
  ...vma,
  start,
  end,
  fileIndex: vma.file ? fileIndexAt(vma, start) : 0,
})
