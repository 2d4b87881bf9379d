// The inode of a guest_memfd file: the physical storage. Folios by page index, zeroed at first touch, never moved.
//
// As virt/kvm/guest_memfd.c (v6.18/v7.2): order-0 folios only (large ones are an option of this project); the page
// cache holds one reference; a folio is zeroed when somebody first sees it and `uptodate` records that it was;
// fallocate alone does not zero.

import { RangeMap } from '../base/range-map.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import { type FileSystem, FileType, type Inode } from '../host/file.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { RwLock } from '../host/locks.ts'
import type { PageCache } from '../host/memory-failure.ts'
import { allocByPolicy, SharedPolicy } from '../host/mempolicy.ts'
import type { Process } from '../host/process.ts'
import { unmapMappingRange } from '../host/process.ts'
import { FileKind } from '../host/tables.ts'
import type { Vma } from '../host/vma.ts'
import type { PageState, PageStates } from './attributes.ts'
import type { GmemFile } from './file.ts'
import { FilemapStore } from './filemap-store.ts'
import type { FolioStore, StoreKind } from './folio-store.ts'
import { LARGE_PAGES } from './folio-tree.ts'
import { isLargeFolio, LargeFolios } from './large-folio.ts'
import { errorFolio } from './memory-error.ts'
import { XarrayStore } from './xarray-store.ts'

/** Create flags (GUEST_MEMFD_FLAG_*). */
export const GmemFlag = {
  /** The host may map the file. */
  MMAP: 1,
  /** Pages start shared: the host may touch them. */
  INIT_SHARED: 2,
} as const

/** How an inode is made; what the kernel's version and module parameters decide. */
export interface GmemOptions {
  /** Row of the VM it is made for in the shared tables. */
  readonly vmRow: number
  readonly fileSystem: FileSystem
  /** Name of the descriptor's link in procfs. */
  readonly name: string
  readonly store: StoreKind
  /** Project-own: 2 MiB folios where a whole private 2 MiB of the file is touched. */
  readonly largeFolios: boolean
  /** The inode itself says which pages are private, and converts them in place. */
  readonly inPlace: boolean
  /** How NUMA policies are obeyed; absent: folios come from anywhere. */
  readonly numa?: GmemNuma
}

export interface GmemNuma {
  /** The process whose own policy counts where the file has none. */
  readonly task: Process
  /** mbind on a mapping sets the file's policy. */
  readonly policyOfFile: boolean
  /** The file's number and the page's index say which node of an interleave has the page; otherwise turns do. */
  readonly interleaveByInode: boolean
}

/** Pages handled between two chances for others to run. */
const BATCH = 1024
const RESCHED: Step = { at: 'gmem_allocate/cond_resched', resched: true }
const TRUNCATE: Step = { at: 'truncate_inode_pages_range/cond_resched', resched: true }

export class GmemInode implements Inode, PageCache {
  readonly host: Host
  readonly number: number
  readonly mode = FileType.regular | 0o600
  readonly links = 1
  /** Bytes; a multiple of 4096, fixed for life. */
  readonly size: number
  readonly name: string
  readonly fileSystem: FileSystem
  readonly flags: number
  /** Row in the shared file table, or -1. */
  readonly row: number
  /** Exclusive for punch hole, bind and release; shared for allocation and host faults. */
  readonly invalidateLock: RwLock
  readonly mappings = new Set<Vma>()
  readonly views = new Set<GmemFile<unknown>>()
  readonly store: FolioStore
  readonly #numa: GmemNuma | null
  /** Made when somebody asks for it. */
  #policy: SharedPolicy | null = null
  /** Which pages are private, where the inode itself tracks it; null: a VM's attributes do. */
  readonly states: PageStates | null
  /** What makes and splits large folios; null: all are small. */
  readonly large: LargeFolios | null

  constructor(host: Host, size: number, flags: number, options: GmemOptions) {
    const { fileSystem, name, vmRow } = options
    this.host = host
    this.store = options.store === 'filemap' ? new FilemapStore(host) : new XarrayStore()
    this.number = host.nextInode()
    this.#numa = options.numa ?? null
    this.size = size
    this.flags = flags
    this.states = options.inPlace
      ? new RangeMap<PageState>(size / PAGE_SIZE, this.startsShared ? 'shared' : 'private')
      : null
    this.large = options.largeFolios ? new LargeFolios(this) : null
    this.fileSystem = fileSystem
    this.name = name
    this.invalidateLock = new RwLock(host, 'mapping->invalidate_lock')
    this.row = host.memory.tables.allocFile(FileKind.gmem, this.number, flags, vmRow, size)
    host.pageCaches.add(this)
    host.trace('gmem_create', this.row, size, flags)
  }

  get pages(): number {
    return this.size / PAGE_SIZE
  }

  /** The file's NUMA policies; null where mappings have their own only. */
  get policy(): SharedPolicy | null {
    if (!this.#numa?.policyOfFile) return null
    this.#policy ??= new SharedPolicy(this.pages)
    return this.#policy
  }

  /** A folio's contents are lost. */
  removeFailed(index: number, pfn: Pfn): KernelTask<void> {
    return errorFolio(this, index, pfn)
  }

  /** Created INIT_SHARED. */
  get startsShared(): boolean {
    return (this.flags & GmemFlag.INIT_SHARED) !== 0
  }

  /** The folio at a page index, or null. */
  folio(index: number): Pfn | null {
    return this.store.get(index)
  }

  /** The way down the folio tree to an index, for the inspector. */
  folioPath(index: number): XArrayStep<number>[] {
    return this.store.path(index)
  }

  /** Every folio of [start, end): (index, frame). */
  forEachFolio(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.store.forEach(start, end, visit)
  }

  /** The folio at an index, made when absent; -1 when there is no memory. */
  folioOrCreate(index: number): number {
    const present = this.store.get(index)
    if (present !== null) return present
    if (this.large?.tryFill(index)) return this.store.get(index) ?? -1
    const pfn = this.#newFolio(index)
    if (pfn < 0) return pfn
    this.store.add(index, pfn as Pfn)
    this.host.memory.tables.addFileFolios(this.row, 1)
    return pfn
  }

  #newFolio(index: number): number {
    const { lru, memory } = this.host
    let pfn = this.takeFrames(0, index)
    // Direct reclaim begins by draining this CPU's batch, which may be all that still refers to a removed folio.
    if (pfn < 0 && lru.drain() > 0) pfn = this.takeFrames(0, index)
    if (pfn >= 0) memory.folios.set(pfn as Pfn, this.store.entryFlags)
    return pfn
  }

  /** The first of 2^order frames for the file's pages from an index, or -1. */
  takeFrames(order: number, index: number): number {
    const { host, row } = this
    const own = this.#policy?.get(index) ?? null
    const policy = own ?? this.#numa?.task.policy
    if (!policy || !this.#numa) return host.buddy.tryAlloc(order, PageType.gmem, row, index)
    const interleave = own && this.#numa.interleaveByInode ? this.number + index : null
    return allocByPolicy(host, this.#numa.task, policy, interleave, order, {
      type: PageType.gmem,
      owner: row,
      index,
    })
  }

  /** Zeroes a folio that nobody has seen yet. Returns true when it did. */
  makeUptodate(pfn: Pfn): boolean {
    const { folios } = this.host.memory
    if (folios.has(pfn, PG.uptodate)) return false
    if (this.large && isLargeFolio(folios, pfn)) this.large.makeUptodate(pfn)
    else {
      this.host.memory.zeroFrame(pfn)
      folios.set(pfn, PG.uptodate)
      // It may be the last page that its 2 MiB lacked.
      this.large?.merge(folios.index[pfn], folios.index[pfn] + 1)
    }
    return true
  }

  /** Makes the absent folios of [start, end). Returns the index where memory ran out or a signal came, or `end`. */
  *allocateRange(start: number, end: number): KernelTask<number> {
    const { scheduler } = this.host
    const make = (index: number): Pfn | undefined => {
      const pfn = this.#newFolio(index)
      if (pfn < 0) return undefined
      made++
      return pfn as Pfn
    }
    let made = 0
    let at = start
    while (at < end && !scheduler.signalPending) {
      const to = Math.min(end, this.large ? at - (at % LARGE_PAGES) + LARGE_PAGES : at + BATCH)
      if (to - at === LARGE_PAGES && this.large?.tryFill(at)) at = to
      else at = this.store.fill(at, to, make)
      if (at < to) break
      if (at < end) yield RESCHED
    }
    this.host.memory.tables.addFileFolios(this.row, made)
    this.host.trace('gmem_allocate', this.row, start, at - start)
    return at
  }

  /** truncate_inode_pages_range: host mappings of [start, end) go, then the folios but `kept`. Returns folios removed. */
  *truncateRange(start: number, end: number, kept?: ReadonlySet<number>): KernelTask<number> {
    yield* unmapMappingRange(this.mappings, start, end)
    const { buddy } = this.host
    const drop = (pfn: Pfn): void => {
      freed++
      buddy.put(pfn)
    }
    let freed = 0
    let at = start
    for (;;) {
      // Holes cost nothing: go on at the next folio there is.
      at = this.store.first(at, end)
      if (at < 0) break
      const to = Math.min(end, at + BATCH)
      if (this.store.contended) yield* this.store.settle(at, to)
      this.large?.release(at, to)
      if (kept) this.#removeAllBut(at, to, kept, drop)
      else this.store.remove(at, to, drop)
      at = to
      if (at >= end) break
      yield TRUNCATE
    }
    this.host.memory.tables.addFileFolios(this.row, -freed)
    return freed
  }

  /** A folio that is lost: the file has none there any more, and the store's reference to it goes. */
  forget(index: number): void {
    this.store.remove(index, index + 1, (pfn) => this.host.buddy.put(pfn))
    this.host.memory.tables.addFileFolios(this.row, -1)
  }

  #removeAllBut(start: number, end: number, kept: ReadonlySet<number>, drop: (pfn: Pfn) => void): void {
    let at = start
    for (const index of [...kept].sort((a, b) => a - b)) {
      if (index < at || index >= end) continue
      this.store.remove(at, index, drop)
      at = index + 1
    }
    this.store.remove(at, end, drop)
  }

  /** Last view gone, and with it every mapping: everything is freed. */
  *evict(): KernelTask<void> {
    if (this.store.first(0, this.pages) >= 0) yield* this.truncateRange(0, this.pages)
    this.host.memory.tables.freeFile(this.row)
    this.host.pageCaches.delete(this)
  }
}
