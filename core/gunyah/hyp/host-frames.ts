// The host's own stage 2, and which frames are the host's.
//
// Linux runs in a VM as guests do: what it can reach is what its stage 2 maps, every frame at its own address in
// leaves of 2 MiB until one of its frames is lent. A frame is the host's unless a guest's private extent has it.

import { KernelError } from '../../base/errno.ts'
import type { Pfn } from '../../base/units.ts'
import { LARGE_LEAF_PAGES, Stage2 } from '../../hart/stage2.ts'
import { PageType, PG } from '../../host/folio-table.ts'
import type { Host } from '../../host/host.ts'
import type { Memextent } from './memextent.ts'

/** Owner of the host's stage-2 tables: no VM row. */
const NO_ROW = -1
/** Frames that back the hypervisor's own structures, or that nobody uses: not Linux's to give. */
const notGivable: ReadonlySet<number> = new Set([
  PageType.free,
  PageType.reserved,
  PageType.pgtable,
  PageType.lost,
  PageType.hwpoison,
])

export class HostFrames {
  readonly #host: Host
  readonly stage2: Stage2
  /** The private extent that has a frame; absent: it is the host's. */
  readonly #privateTo = new Map<Pfn, Memextent>()
  /** In how many shared extents a frame is. */
  readonly #sharers = new Map<Pfn, number>()

  /** Throws ENOMEM. */
  constructor(host: Host) {
    this.#host = host
    this.stage2 = new Stage2(host, NO_ROW, false, true)
    const { frames } = host.memory.layout
    const large = frames - (frames % LARGE_LEAF_PAGES)
    let mapped = true
    for (let pfn = 0; pfn < large; pfn += LARGE_LEAF_PAGES)
      mapped &&= this.stage2.mapLarge(pfn, pfn as Pfn, true, false)
    for (let pfn = large; pfn < frames; pfn++) mapped &&= this.stage2.map(pfn, pfn as Pfn, true, false)
    if (!mapped) {
      this.stage2.destroy()
      throw new KernelError('ENOMEM')
    }
  }

  /** What a load or store of the host's finds in the table. */
  reaches(pfn: Pfn, write: boolean): boolean {
    return this.stage2.translate(pfn, write) >= 0
  }

  /** The guest extent that has the frame for itself, or null: the host's. */
  privateTo(pfn: Pfn): Memextent | null {
    return this.#privateTo.get(pfn) ?? null
  }

  isShared(pfn: Pfn): boolean {
    return this.#sharers.has(pfn)
  }

  /** Linux may give the frame to a guest, or share it. */
  isGivable(pfn: Pfn): boolean {
    return !this.#privateTo.has(pfn) && !notGivable.has(this.#host.memory.folios.type(pfn))
  }

  /** Nobody gets the frame any more. */
  isLost(pfn: Pfn): boolean {
    return this.#host.memory.folios.type(pfn) === PageType.lost
  }

  /** Makes single frames of [pfn, pfn + pages) removable. False: no memory for a table; what was split stays so. */
  split(pfn: Pfn, pages: number): boolean {
    for (let at: number = pfn; at < pfn + pages; at += LARGE_LEAF_PAGES - (at % LARGE_LEAF_PAGES))
      if (!this.stage2.split(at)) return false
    return true
  }

  /** The frame, split before, leaves the host. */
  takeFromHost(pfn: Pfn, extent: Memextent): void {
    this.stage2.unmap(pfn, pfn + 1, { private: true, shared: true })
    this.#privateTo.set(pfn, extent)
    this.#host.memory.folios.set(pfn, PG.lent)
  }

  /** The frame, that no guest maps any more, is zeroed and is the host's again. */
  giveToHost(pfn: Pfn): void {
    this.sanitise(pfn)
    this.#privateTo.delete(pfn)
    // Its table was kept: this needs no memory.
    this.stage2.map(pfn, pfn, true, false)
    this.#host.memory.folios.clear(pfn, PG.lent)
  }

  /** The frame entered (1) or left (-1) a guest's shared extent. */
  countSharer(pfn: Pfn, by: 1 | -1): void {
    const sharers = (this.#sharers.get(pfn) ?? 0) + by
    if (sharers > 0) this.#sharers.set(pfn, sharers)
    else this.#sharers.delete(pfn)
  }

  sanitise(pfn: Pfn): void {
    this.#host.memory.zeroFrame(pfn)
    this.#host.trace('gunyah_sanitise', pfn)
  }

  /** The frame will not come back: no owner ever, and the reference that keeps it from the allocator stays. */
  abandon(pfn: Pfn, vmid: number): void {
    const { folios } = this.#host.memory
    const lent = folios.has(pfn, PG.lent)
    folios.assign(pfn, PageType.lost, vmid, 0)
    if (lent) folios.set(pfn, PG.lent)
    this.#host.memory.bumpGeneration()
  }
}
