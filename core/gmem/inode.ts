// The inode of a guest_memfd file: the physical storage. Folios by page index, zeroed at first touch, never moved.
//
// As virt/kvm/guest_memfd.c (v6.18/v7.2): order-0 folios only; the page cache holds one reference; a folio is
// zeroed when somebody first sees it and `uptodate` records that it was; fallocate alone does not zero.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { XArrayStep } from '../base/xarray.ts'
import { type FileSystem, FileType, type Inode } from '../host/file.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { RwLock } from '../host/locks.ts'
import { unmapMappingRange } from '../host/process.ts'
import { FileKind } from '../host/tables.ts'
import type { Vma } from '../host/vma.ts'
import type { GmemFile } from './file.ts'
import type { FolioStore, StoreKind } from './folio-store.ts'
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
}

/** Pages handled between two chances for others to run. */
const BATCH = 1024
const RESCHED: Step = { at: 'kvm_gmem_allocate/cond_resched', resched: true }
const TRUNCATE: Step = { at: 'truncate_inode_pages_range/cond_resched', resched: true }

export class GmemInode implements Inode {
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

  constructor(host: Host, size: number, flags: number, options: GmemOptions) {
    const { fileSystem, name, vmRow } = options
    this.host = host
    this.store = new XarrayStore()
    this.number = host.nextInode()
    this.size = size
    this.flags = flags
    this.fileSystem = fileSystem
    this.name = name
    this.invalidateLock = new RwLock(host, 'mapping->invalidate_lock')
    this.row = host.memory.tables.allocFile(FileKind.gmem, this.number, flags, vmRow, size)
    host.trace('kvm_gmem_create', this.row, size, flags)
  }

  get pages(): number {
    return this.size / PAGE_SIZE
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
    const pfn = this.#newFolio(index)
    if (pfn < 0) return pfn
    this.store.add(index, pfn as Pfn)
    this.host.memory.tables.addFileFolios(this.row, 1)
    return pfn
  }

  #newFolio(index: number): number {
    const pfn = this.host.buddy.tryAlloc(0, PageType.gmem, this.row, index)
    if (pfn >= 0) this.host.memory.folios.set(pfn as Pfn, PG.unevictable)
    return pfn
  }

  /** Zeroes a folio that nobody has seen yet. Returns true when it did. */
  makeUptodate(pfn: Pfn): boolean {
    const { folios } = this.host.memory
    if (folios.has(pfn, PG.uptodate)) return false
    this.host.memory.zeroFrame(pfn)
    folios.set(pfn, PG.uptodate)
    return true
  }

  /** Makes the absent folios of [start, end). Returns the index where memory ran out, or `end`. */
  *allocateRange(start: number, end: number): KernelTask<number> {
    const make = (index: number): Pfn | undefined => {
      const pfn = this.#newFolio(index)
      if (pfn < 0) return undefined
      made++
      return pfn as Pfn
    }
    let made = 0
    let at = start
    while (at < end) {
      const to = Math.min(end, at + BATCH)
      at = this.store.fill(at, to, make)
      if (at < to) break
      if (at < end) yield RESCHED
    }
    this.host.memory.tables.addFileFolios(this.row, made)
    this.host.trace('kvm_gmem_allocate', this.row, start, at - start)
    return at
  }

  /** truncate_inode_pages_range: host mappings of [start, end) go, then the folios. Returns folios removed. */
  *truncateRange(start: number, end: number): KernelTask<number> {
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
      this.store.remove(at, to, drop)
      at = to
      if (at >= end) break
      yield TRUNCATE
    }
    this.host.memory.tables.addFileFolios(this.row, -freed)
    return freed
  }

  /** Last view gone: everything is freed. */
  *evict(): KernelTask<void> {
    yield* this.truncateRange(0, this.pages)
    this.host.memory.tables.freeFile(this.row)
  }
}
