// The buddy allocator: blocks of 2^order frames, orders 0 to 9, merged with their buddy when freed; one set of free
// lists per NUMA node.
//
// As mm/page_alloc.c: free blocks of an order form a doubly linked list, here in typed arrays indexed by pfn.
// It never zeroes a frame: whoever takes one does (invariant F2).

import { KernelError } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import { PageType, PG } from './folio-table.ts'
import type { HostMemory } from './host-memory.ts'

/** Largest order: 2 MiB blocks. */
export const MAX_ORDER = 9
const ORDERS = MAX_ORDER + 1
const NONE = -1
/** Node mask of an allocation that may come from anywhere. */
const ALL_NODES = 0xffffffff

export class BuddyAllocator {
  readonly #memory: HostMemory
  readonly #poison: boolean
  readonly #first: number
  readonly #end: number
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** Order of the free block that starts at a frame, or -1. */
  readonly #order: Int8Array
  /** First free block by node and order. */
  readonly #heads: Int32Array
  /** Free frames by node. */
  readonly #free: Int32Array
  /** NUMA nodes. */
  readonly nodes: 1 | 2
  /** First frame of node 1; a 2 MiB boundary, so that no block lies in both. The end of memory on one node. */
  readonly boundary: number
  /** Frames taken out of use by memory failures (HardwareCorrupted of /proc/meminfo, in frames). */
  hardwareCorrupted = 0

  /** Takes over every frame from layout.firstFrame on. `poison`: fill freed frames with 0xa5. */
  constructor(memory: HostMemory, poison: boolean, nodes: 1 | 2 = 1) {
    this.#memory = memory
    this.#poison = poison
    this.nodes = nodes
    this.#first = memory.layout.firstFrame
    this.#end = memory.layout.frames
    this.boundary = nodes === 1 ? this.#end : middle(this.#first, this.#end)
    this.#next = new Int32Array(this.#end)
    this.#previous = new Int32Array(this.#end)
    this.#order = new Int8Array(this.#end).fill(NONE)
    this.#heads = new Int32Array(nodes * ORDERS).fill(NONE)
    this.#free = new Int32Array(nodes)
    for (let pfn = 0; pfn < this.#first; pfn++) memory.folios.assign(pfn as Pfn, PageType.reserved, 0, 0)
    for (let pfn = this.#first; pfn < this.#end; ) {
      let order = MAX_ORDER
      while (pfn % 2 ** order !== 0 || pfn + 2 ** order > this.#end) order--
      this.#push(pfn, order)
      pfn += 2 ** order
    }
    this.#free[0] = this.boundary - this.#first
    if (nodes > 1) this.#free[1] = this.#end - this.boundary
  }

  /** Free frames. */
  get freeFrames(): number {
    return this.nodes === 1 ? this.#free[0] : this.#free[0] + this.#free[1]
  }

  /** Free frames of a node. */
  freeFramesOf(node: number): number {
    return this.#free[node]
  }

  /** The NUMA node of a frame (page_to_nid). */
  nodeOf(pfn: number): number {
    return pfn < this.boundary ? 0 : 1
  }

  /**
   * Takes a block of 2^order frames, aligned to its size, for the owner given; each frame's refcount becomes 1
   * and its row in the folio table is assigned. Tries `node` first, then the other, of those that `allowed` (a bit
   * per node) names. Returns -1 when there is none: callers that fill ranges stop there, others use `alloc`.
   */
  tryAlloc(
    order: number,
    type: number,
    owner: number,
    index: number,
    node = 0,
    allowed: number = ALL_NODES,
  ): number {
    let pfn = allowed & (1 << node) ? this.#take(order, node) : NONE
    if (pfn === NONE && this.nodes > 1 && allowed & (1 << (1 - node))) pfn = this.#take(order, 1 - node)
    if (pfn === NONE) return NONE
    const folios = this.#memory.folios
    const frames = 1 << order
    for (let i = 0; i < frames; i++) {
      folios.assign((pfn + i) as Pfn, type, owner, index)
      folios.refcount[pfn + i] = 1
      folios.mapcount[pfn + i] = 0
      folios.guestMapcount[pfn + i] = 0
    }
    return pfn
  }

  /** A block of a node's free lists, split to size; -1: none. */
  #take(order: number, node: number): number {
    const lists = node * ORDERS
    let from = order
    while (from <= MAX_ORDER && this.#heads[lists + from] === NONE) from++
    if (from > MAX_ORDER) return NONE
    const pfn = this.#heads[lists + from]
    this.#remove(pfn, from)
    while (from > order) {
      from--
      this.#push(pfn + (1 << from), from)
    }
    this.#free[node] -= 1 << order
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
    this.#free[this.nodeOf(pfn)] += frames
    let start: number = pfn
    let size = order
    while (size < MAX_ORDER) {
      const buddy = start ^ (1 << size)
      if (this.#order[buddy] !== size) break
      this.#remove(buddy, size)
      start = Math.min(start, buddy)
      size++
    }
    this.#push(start, size)
  }

  /**
   * Drops a reference to an order-0 frame; the last one frees it. A frame with a memory error keeps the reference
   * that memory_failure took, so it never comes back: once nothing else refers to it, it belongs to nobody.
   */
  put(pfn: Pfn): void {
    const folios = this.#memory.folios
    const left = --folios.refcount[pfn]
    if (left === 0) this.free(pfn, 0)
    else if (left === 1 && folios.has(pfn, PG.hwpoison)) this.#retire(pfn)
  }

  get(pfn: Pfn): void {
    this.#memory.folios.refcount[pfn]++
  }

  /** Marks a frame as broken and takes the reference that keeps it out of use; a free one leaves the free lists. */
  poison(pfn: Pfn): void {
    const folios = this.#memory.folios
    this.hardwareCorrupted++
    if (folios.type(pfn) === PageType.free) {
      this.#takeFree(pfn)
      folios.refcount[pfn] = 1
      this.#retire(pfn)
      return
    }
    folios.set(pfn, PG.hwpoison)
    folios.refcount[pfn]++
  }

  /** Takes one free frame for an owner, its refcount 1, out of the free block that holds it (isolate_freepages). */
  takeFrame(pfn: Pfn, type: number, owner: number, index: number): void {
    const { folios } = this.#memory
    this.#takeFree(pfn)
    folios.assign(pfn, type, owner, index)
    folios.refcount[pfn] = 1
    folios.mapcount[pfn] = 0
    folios.guestMapcount[pfn] = 0
  }

  #retire(pfn: Pfn): void {
    this.#memory.folios.assign(pfn, PageType.hwpoison, 0, 0)
    this.#memory.folios.set(pfn, PG.hwpoison)
  }

  /** take_page_off_buddy: one frame out of the free block that holds it. */
  #takeFree(pfn: Pfn): void {
    let order = 0
    let start: number = pfn
    while (this.#order[start] !== order) {
      if (order === MAX_ORDER) throw new Error(`frame ${pfn} is not on a free list`)
      order++
      start = pfn - (pfn % 2 ** order)
    }
    this.#remove(start, order)
    while (order > 0) {
      order--
      const upper = start + 2 ** order
      if (pfn < upper) this.#push(upper, order)
      else {
        this.#push(start, order)
        start = upper
      }
    }
    this.#free[this.nodeOf(pfn)]--
  }

  /** Free blocks per order; for tests and statistics. */
  freeBlocks(): number[] {
    return Array.from({ length: ORDERS }, (_, order) => {
      let count = 0
      for (let node = 0; node < this.nodes; node++)
        for (let pfn = this.#heads[node * ORDERS + order]; pfn !== NONE; pfn = this.#next[pfn]) count++
      return count
    })
  }

  #push(pfn: number, order: number): void {
    const list = this.nodeOf(pfn) * ORDERS + order
    const head = this.#heads[list]
    this.#next[pfn] = head
    this.#previous[pfn] = NONE
    if (head !== NONE) this.#previous[head] = pfn
    this.#heads[list] = pfn
    this.#order[pfn] = order
  }

  #remove(pfn: number, order: number): void {
    const next = this.#next[pfn]
    const previous = this.#previous[pfn]
    if (previous === NONE) this.#heads[this.nodeOf(pfn) * ORDERS + order] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#order[pfn] = NONE
  }
}

/** The 2 MiB boundary nearest to the middle of the frames. */
const middle = (first: number, end: number): number =>
  Math.round((first + end) / 2 / 2 ** MAX_ORDER) * 2 ** MAX_ORDER
