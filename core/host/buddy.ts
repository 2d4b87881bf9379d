// The buddy allocator: blocks of 2^order frames, orders 0 to 9, merged with their buddy when freed.
//
// As mm/page_alloc.c: free blocks of an order form a doubly linked list, here in typed arrays indexed by pfn.
// It never zeroes a frame: whoever takes one does (invariant F2).

import { KernelError } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import { PageType } from './folio-table.ts'
import type { HostMemory } from './host-memory.ts'

/** Largest order: 2 MiB blocks. */
export const MAX_ORDER = 9
const NONE = -1

export class BuddyAllocator {
  readonly #memory: HostMemory
  readonly #poison: boolean
  readonly #first: number
  readonly #end: number
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** Order of the free block that starts at a frame, or -1. */
  readonly #order: Int8Array
  readonly #heads = new Int32Array(MAX_ORDER + 1).fill(NONE)
  #free = 0

  /** Takes over every frame from layout.firstFrame on. `poison`: fill freed frames with 0xa5. */
  constructor(memory: HostMemory, poison: boolean) {
    this.#memory = memory
    this.#poison = poison
    this.#first = memory.layout.firstFrame
    this.#end = memory.layout.frames
    this.#next = new Int32Array(this.#end)
    this.#previous = new Int32Array(this.#end)
    this.#order = new Int8Array(this.#end).fill(NONE)
    for (let pfn = 0; pfn < this.#first; pfn++) memory.folios.assign(pfn as Pfn, PageType.reserved, 0, 0)
    for (let pfn = this.#first; pfn < this.#end; ) {
      let order = MAX_ORDER
      while (pfn % 2 ** order !== 0 || pfn + 2 ** order > this.#end) order--
      this.#push(pfn, order)
      pfn += 2 ** order
    }
    this.#free = this.#end - this.#first
  }

  /** Free frames. */
  get freeFrames(): number {
    return this.#free
  }

  /**
   * Takes a block of 2^order frames, aligned to its size, for the owner given; each frame's refcount becomes 1
   * and its row in the folio table is assigned. Returns -1 when there is none: callers that fill ranges stop
   * there, others use `alloc`.
   */
  tryAlloc(order: number, type: number, owner: number, index: number): number {
    let from = order
    while (from <= MAX_ORDER && this.#heads[from] === NONE) from++
    if (from > MAX_ORDER) return NONE
    const pfn = this.#heads[from]
    this.#remove(pfn, from)
    while (from > order) {
      from--
      this.#push(pfn + 2 ** from, from)
    }
    const folios = this.#memory.folios
    const frames = 1 << order
    for (let i = 0; i < frames; i++) {
      folios.assign((pfn + i) as Pfn, type, owner, index)
      folios.refcount[pfn + i] = 1
      folios.mapcount[pfn + i] = 0
      folios.guestMapcount[pfn + i] = 0
    }
    this.#free -= frames
    return pfn
  }

  /** tryAlloc, or ENOMEM. */
  alloc(order: number, type: number, owner: number, index: number): Pfn {
    const pfn = this.tryAlloc(order, type, owner, index)
    if (pfn < 0) throw new KernelError('ENOMEM')
    return pfn as Pfn
  }

  /** Gives a block back. */
  free(pfn: Pfn, order: number): void {
    const folios = this.#memory.folios
    const frames = 1 << order
    for (let i = 0; i < frames; i++) {
      folios.assign((pfn + i) as Pfn, PageType.free, 0, 0)
      folios.refcount[pfn + i] = 0
      if (this.#poison) this.#memory.poisonFrame((pfn + i) as Pfn)
    }
    this.#free += frames
    let start: number = pfn
    let size = order
    while (size < MAX_ORDER) {
      const buddy = start ^ (1 << size)
      if (buddy < this.#first || buddy + 2 ** size > this.#end || this.#order[buddy] !== size) break
      this.#remove(buddy, size)
      start = Math.min(start, buddy)
      size++
    }
    this.#push(start, size)
  }

  /** Drops a reference to an order-0 frame; the last one frees it. */
  put(pfn: Pfn): void {
    if (--this.#memory.folios.refcount[pfn] === 0) this.free(pfn, 0)
  }

  get(pfn: Pfn): void {
    this.#memory.folios.refcount[pfn]++
  }

  /** Free blocks per order; for tests and statistics. */
  freeBlocks(): number[] {
    return Array.from(this.#heads, (head) => {
      let count = 0
      for (let pfn = head; pfn !== NONE; pfn = this.#next[pfn]) count++
      return count
    })
  }

  #push(pfn: number, order: number): void {
    const head = this.#heads[order]
    this.#next[pfn] = head
    this.#previous[pfn] = NONE
    if (head !== NONE) this.#previous[head] = pfn
    this.#heads[order] = pfn
    this.#order[pfn] = order
  }

  #remove(pfn: number, order: number): void {
    const next = this.#next[pfn]
    const previous = this.#previous[pfn]
    if (previous === NONE) this.#heads[order] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#order[pfn] = NONE
  }
}
