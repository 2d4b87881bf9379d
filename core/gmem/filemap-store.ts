// Folios in a page cache: an address_space whose i_pages is an xarray, and around it what mm/filemap.c does (v6.18).
//
// A new folio goes to the unevictable list by way of a per-CPU batch, which refers to it meanwhile. A lookup takes a
// reference first and then asks whether the folio is still there. The folio lock guards being in the cache. None of
// it moves, writes back or reclaims a guest's memory: the hooks that would must refuse.

import type { ErrnoName } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import type { AddressSpace } from '../host/address-space.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { FolioStore } from './folio-store.ts'
import { FolioTree, LARGE_PAGES } from './folio-tree.ts'

const LOADED: Step = { at: 'filemap_get_entry/xas_load' }
const REFERENCED: Step = { at: 'filemap_get_entry/folio_try_get' }

export class FilemapStore implements FolioStore, AddressSpace {
  readonly kind = 'filemap'
  /** Draining the batch it enters by puts the folio on the unevictable list. */
  readonly entryFlags = 0
  readonly unevictable = true
  readonly inaccessible = true
  /** Times kvm_gmem_migrate_folio was reached, which the kernel warns about: memory management asks first. */
  migrateWarnings = 0
  readonly #host: Host
  readonly #pages = new FolioTree()

  constructor(host: Host) {
    this.#host = host
  }

  get(index: number): Pfn | null {
    return this.#pages.get(index)
  }

  /** Where a folio can be locked, or a task be driven step by step through what is one step otherwise. */
  get contended(): boolean {
    return this.#host.scheduler.stepping || this.#host.folioLocks.held > 0
  }

  /** filemap_lock_folio, with lock and reference given up again in the step that returns. */
  *lookup(index: number): KernelTask<Pfn | null> {
    const { folioLocks, buddy } = this.#host
    for (;;) {
      const pfn = yield* this.#getEntry(index)
      if (pfn === null) return null
      if (folioLocks.locked(pfn)) yield { at: 'folio_lock', until: () => !folioLocks.locked(pfn) }
      const found = this.get(index) === pfn
      buddy.put(pfn)
      // Truncated while this waited for the lock: look again.
      if (found) return pfn
    }
  }

  /** filemap_get_entry: the folio with a reference. What is found may be freed, and in use elsewhere, until then. */
  *#getEntry(index: number): KernelTask<Pfn | null> {
    const { scheduler, memory, buddy } = this.#host
    for (;;) {
      const pfn = this.get(index)
      if (pfn === null) return null
      if (scheduler.stepping) yield LOADED
      // folio_try_get
      if (memory.folios.refcount[pfn] === 0) continue
      buddy.get(pfn)
      if (scheduler.stepping) yield REFERENCED
      if (this.get(index) === pfn) return pfn
      buddy.put(pfn)
    }
  }

  /** filemap_add_folio. */
  add(index: number, pfn: Pfn): void {
    this.#pages.set(index, pfn)
    this.#enter(pfn)
  }

  fill(start: number, end: number, make: (index: number) => Pfn | undefined): number {
    return this.#pages.fill(start, end, (index) => {
      const pfn = make(index)
      if (pfn !== undefined) this.#enter(pfn)
      return pfn
    })
  }

  #enter(pfn: Pfn): void {
    this.#host.lru.mapping[pfn] = this
    this.#host.lru.add(pfn)
  }

  /** A large folio does not wait in a batch (folio_batch_add_and_move). */
  addLarge(start: number, first: Pfn): void {
    const { lru } = this.#host
    this.#pages.setLarge(start, first)
    for (let i = 0; i < LARGE_PAGES; i++) {
      lru.mapping[first + i] = this
      lru.enter((first + i) as Pfn)
    }
  }

  merge(start: number, first: Pfn): void {
    this.#pages.setLarge(start, first)
  }

  split(start: number, first: Pfn): void {
    this.#pages.split(start, first)
  }

  forEach(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.#pages.forEach(start, end, visit)
  }

  first(start: number, end: number): number {
    return this.#pages.first(start, end)
  }

  *settle(start: number, end: number): KernelTask<void> {
    const { folioLocks } = this.#host
    for (;;) {
      let locked: Pfn | null = null
      this.forEach(start, end, (_index, pfn) => {
        if (folioLocks.locked(pfn)) locked = pfn
      })
      if (locked === null) return
      const pfn: Pfn = locked
      yield { at: 'truncate_inode_pages_range/folio_lock', until: () => !folioLocks.locked(pfn) }
    }
  }

  /** delete_from_page_cache_batch, and what __folio_batch_release does first: drain this CPU's batch. */
  remove(start: number, end: number, drop: (pfn: Pfn) => void): void {
    const { lru } = this.#host
    lru.drain()
    this.forEach(start, end, (_index, pfn) => {
      lru.mapping[pfn] = null
      drop(pfn)
    })
    this.#pages.erase(start, end)
  }

  path(index: number): XArrayStep<number>[] {
    return this.#pages.path(index)
  }

  transientReferences(pfn: Pfn): number {
    return this.#host.lru.references(pfn)
  }

  *drain(): KernelTask<void> {
    yield* this.#host.lru.drainAll()
  }

  /** kvm_gmem_migrate_folio. */
  migrateFolio(): ErrnoName {
    this.migrateWarnings++
    return 'EINVAL'
  }
}
