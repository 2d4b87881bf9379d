// The folio lock (PG_locked; folio_lock of mm/filemap.c): who holds it keeps a folio in its file, or out of it.
//
// What happens within one step of a task needs no lock; it is taken by those who keep a folio over a step, and
// waited for by those who find or remove one.

import type { Pfn } from '../base/units.ts'
import { type FolioTable, PG } from './folio-table.ts'

export class FolioLocks {
  readonly #folios: FolioTable
  /** Locked folios; while there is none, nobody has to look. */
  held = 0

  constructor(folios: FolioTable) {
    this.#folios = folios
  }

  /** folio_trylock */
  tryLock(pfn: Pfn): boolean {
    if (this.#folios.has(pfn, PG.locked)) return false
    this.#folios.set(pfn, PG.locked)
    this.held++
    return true
  }

  unlock(pfn: Pfn): void {
    this.#folios.clear(pfn, PG.locked)
    this.held--
  }

  locked(pfn: Pfn): boolean {
    return this.held > 0 && this.#folios.has(pfn, PG.locked)
  }
}
