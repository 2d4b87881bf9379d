// The inode of a guest_memfd file: the physical storage. Folios by page index, zeroed at first touch, never moved.
//
// As virt/kvm/guest_memfd.c (v6.18/v7.2): order-0 folios only; the page cache holds one reference; a folio is
// zeroed when somebody first sees it and `uptodate` records that it was; fallocate alone does not zero.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray, type XArrayStep } from '../base/xarray.ts'
import { type FileSystem, FileType, type Inode } from '../host/file.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { RwLock } from '../host/locks.ts'
import { unmapMappingRange } from '../host/process.ts'
import { FileKind } from '../host/tables.ts'
import type { Vma } from '../host/vma.ts'
import type { GmemFile } from './file.ts'

/** Create flags (GUEST_MEMFD_FLAG_*). */
export const GmemFlag = {
  /** The host may map the file. */
  MMAP: 1,
  /** Pages start shared: the host may touch them. */
  INIT_SHARED: 2,
} as const

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
  readonly #folios = new XArray<number>()

  /** `vmRow`: the row of the VM it is made for in the shared tables. */
  constructor(host: Host, size: number, flags: number, vmRow: number, fileSystem: FileSystem, name: string) {
    this.host = host
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
    return (this.#folios.get(index) as Pfn | undefined) ?? null
  }

  /** The way down the folio tree to an index, for the inspector. */
  folioPath(index: number): XArrayStep<number>[] {
    return this.#folios.path(index)
  }

  /** Every folio of [start, end): (index, frame). */
  forEachFolio(start: number, end: number, visit: (index: number, pfn: Pfn) => void): void {
    this.#folios.forRange(start, end, (pfn, index) => visit(index, pfn as Pfn))
  }

  /** The folio at an index, made when absent; -1 when there is no memory. */
  folioOrCreate(index: number): number {
    const present = this.#folios.get(index)
    if (present !== undefined) return present
    const pfn = this.#newFolio(index)
    if (pfn < 0) return pfn
    this.#folios.set(index, pfn)
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
    const make = (index: number): number | undefined => {
      const pfn = this.#newFolio(index)
      if (pfn < 0) return undefined
      made++
      return pfn
    }
    let made = 0
    let at = start
    while (at < end) {
      const to = Math.min(end, at + BATCH)
      at = this.#folios.fill(at, to, make)
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
    const drop = (pfn: number): void => {
      freed++
      buddy.put(pfn as Pfn)
    }
    let freed = 0
    let at = start
    for (;;) {
      // Holes cost nothing: go on at the next folio there is.
      if (this.#folios.find(at, end) === undefined) break
      at = Math.max(at, this.#folios.foundStart)
      const to = Math.min(end, at + BATCH)
      this.#folios.forRange(at, to, drop)
      this.#folios.store(at, to, undefined)
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
