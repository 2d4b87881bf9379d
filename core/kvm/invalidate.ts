// The invalidate sequence: how a guest fault learns that what it looked up is stale (kvm_mmu_invalidate_*, v7.2).
//
// An invalidation unmaps between begin and end; a fault snapshots `seq` before it reads attributes, memslot or
// backing and asks `mustRetry` under mmu_lock before it maps. All methods are called with mmu_lock held, except
// `mayRetry`, a hint.

import type { MachineTables } from '../host/tables.ts'
import { VmFloat, VmWord } from '../host/tables.ts'

export class MmuInvalidate {
  readonly #tables: MachineTables
  readonly #row: number
  seq = 0
  inProgress = 0
  /** Hull of the gfns being invalidated: [rangeStart, rangeEnd). Empty until the first rangeAdd. */
  rangeStart = Number.POSITIVE_INFINITY
  rangeEnd = 0

  constructor(tables: MachineTables, row: number) {
    this.#tables = tables
    this.#row = row
  }

  begin(): void {
    this.inProgress++
    if (this.inProgress === 1) {
      this.rangeStart = Number.POSITIVE_INFINITY
      this.rangeEnd = 0
    }
    this.#mirror()
  }

  rangeAdd(start: number, end: number): void {
    if (this.inProgress === 0) throw new Error('rangeAdd outside an invalidation')
    this.rangeStart = Math.min(this.rangeStart, start)
    this.rangeEnd = Math.max(this.rangeEnd, end)
    this.#mirror()
  }

  end(): void {
    if (this.inProgress === 0) throw new Error('invalidate end without begin')
    if (this.rangeStart >= this.rangeEnd) throw new Error('an invalidation ended that named no range')
    this.seq++
    this.inProgress--
    this.#mirror()
  }

  /** True when a fault that snapshotted `seq` must start over. */
  mustRetry(snapshot: number, gfn: number): boolean {
    if (this.inProgress > 0) {
      // Begun, but no range named yet: everything counts as inside.
      if (this.rangeStart >= this.rangeEnd) return true
      if (gfn >= this.rangeStart && gfn < this.rangeEnd) return true
    }
    return this.seq !== snapshot
  }

  /** The same without the lock: a cheap early way out, not a promise. */
  mayRetry(snapshot: number, gfn: number): boolean {
    return this.mustRetry(snapshot, gfn)
  }

  /** True when an invalidation under way touches [start, end), or has not said yet what it touches. */
  touches(start: number, end: number): boolean {
    if (this.inProgress === 0) return false
    if (this.rangeStart >= this.rangeEnd) return true
    return start < this.rangeEnd && end > this.rangeStart
  }

  #mirror(): void {
    this.#tables.setVmWord(this.#row, VmWord.INVALIDATE_IN_PROGRESS, this.inProgress)
    this.#tables.setVmFloat(this.#row, VmFloat.INVALIDATE_SEQ, this.seq)
    this.#tables.setVmFloat(this.#row, VmFloat.INVALIDATE_START, this.inProgress ? this.rangeStart : 0)
    this.#tables.setVmFloat(this.#row, VmFloat.INVALIDATE_END, this.inProgress ? this.rangeEnd : 0)
  }
}
