// The inode of a file in memory (mm/shmem.c in small): its folios by page index, made at first touch.

import { S64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import type { FileSystem, Inode } from './file.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import type { PageCache } from './memory-failure.ts'
import { allocByPolicy, SharedPolicy } from './mempolicy.ts'
import { type Process, unmapMappingRange } from './process.ts'
import { FileKind } from './tables.ts'
import type { Vma } from './vma.ts'

const BLOCKS_PER_PAGE = PAGE_SIZE / 512

export interface ShmemOptions {
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** FileType and permission bits. */
  readonly mode: number
  readonly links: number
  readonly fileSystem: FileSystem
}

export class ShmemInode implements Inode, PageCache {
  readonly host: Host
  readonly number: number
  mode: number
  readonly links: number
  size: number
  readonly name: string
  readonly fileSystem: FileSystem
  readonly row: number
  readonly mappings = new Set<Vma>()
  readonly policy = new SharedPolicy(S64_PAGES)
  readonly #folios = new XArray<number>()
  #folioCount = 0
  #files = 0

  constructor(host: Host, options: ShmemOptions) {
    this.host = host
    this.number = host.nextInode()
    this.name = options.name
    this.size = options.size
    this.mode = options.mode
    this.links = options.links
    this.fileSystem = options.fileSystem
    this.row = host.memory.tables.allocFile(FileKind.memfd, this.number, 0, -1, options.size)
    host.pageCaches.add(this)
  }

  get blocks(): number {
    return this.#folioCount * BLOCKS_PER_PAGE
  }

  /** Pages that hold some byte of the file. */
  get pages(): number {
    return Math.ceil(this.size / PAGE_SIZE)
  }

  folio(index: number): Pfn | null {
    return (this.#folios.get(index) as Pfn | undefined) ?? null
  }

  /** The folio stays, with its mark: whoever touches it hears of the error (shmem_error_remove_folio). */
  *removeFailed(): KernelTask<void> {}

  /** The folio at an index, zeroed, made when absent on behalf of `task`; -1 when there is no memory. */
  folioOrCreate(index: number, task: Process): number {
    const pfn = this.allocate(index, task)
    if (pfn >= 0) this.host.memory.folios.set(pfn as Pfn, PG.uptodate)
    return pfn
  }

  /** The same without anybody seeing it: fallocate. It counts as a hole until it is touched. */
  allocate(index: number, task: Process): number {
    const present = this.#folios.get(index)
    if (present !== undefined) return present
    const policy = this.policy.get(index) ?? task.policy
    const use = { type: PageType.file, owner: this.row, index }
    const pfn = policy
      ? allocByPolicy(this.host, task, policy, this.number + index, 0, use)
      : this.host.buddy.tryAlloc(0, PageType.file, this.row, index)
    if (pfn < 0) return -1
    this.host.memory.zeroFrame(pfn as Pfn)
    this.#folios.set(index, pfn)
    this.#count(1)
    return pfn
  }

  /** The page holds contents. */
  hasData(index: number): boolean {
    const pfn = this.folio(index)
    return pfn !== null && this.host.memory.folios.has(pfn, PG.uptodate)
  }

  /** First page of [start, end) that holds contents, or does not; -1: none. */
  findPage(start: number, end: number, data: boolean): number {
    for (let index = start; index < end; index++) {
      if (this.hasData(index) === data) return index
      if (!data || this.#folios.find(index, end) !== undefined) continue
      return -1
    }
    return -1
  }

  /** Zeroes bytes [start, end) of the folios there are. */
  zero(start: number, end: number): void {
    for (let at = start; at < end; ) {
      const to = Math.min(end, (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE)
      const pfn = this.folio(Math.floor(at / PAGE_SIZE))
      if (pfn !== null) this.host.memory.frame(pfn).fill(0, at % PAGE_SIZE, (at % PAGE_SIZE) + (to - at))
      at = to
    }
  }

  /**
   * Takes bytes [start, end) out: whole pages lose their mappings and folios, parts of pages are zeroed. `evenCows`:
   * the file ends there now, so copies that private mappings made of its pages go, too.
   */
  *remove(start: number, end: number, evenCows = false): KernelTask<void> {
    const first = Math.ceil(start / PAGE_SIZE)
    const last = Math.floor(end / PAGE_SIZE)
    if (first > last) return this.zero(start, end)
    // Until nobody shows them: while one mapping was undone, a fault may have come through another.
    do yield* unmapMappingRange(this.mappings, first, last, evenCows)
    while (this.#mapped(first, last))
    this.zero(start, first * PAGE_SIZE)
    this.zero(last * PAGE_SIZE, end)
    this.#free(first, last)
  }

  #mapped(first: number, last: number): boolean {
    const { mapcount } = this.host.memory.folios
    let mapped = false
    this.#folios.forRange(first, last, (pfn) => {
      if (mapcount[pfn] > 0) mapped = true
    })
    return mapped
  }

  #free(first: number, last: number): void {
    let freed = 0
    this.#folios.forRange(first, last, (pfn) => {
      this.host.buddy.put(pfn as Pfn)
      freed++
    })
    this.#folios.store(first, last, undefined)
    this.#count(-freed)
  }

  #count(folios: number): void {
    this.#folioCount += folios
    this.host.memory.tables.addFileFolios(this.row, folios)
  }

  /** One more open file refers to it. */
  open(): this {
    this.#files++
    return this
  }

  /** An open file is gone; the last takes everything with it. */
  close(): void {
    if (--this.#files > 0) return
    this.host.pageCaches.delete(this)
    this.#free(0, S64_PAGES)
    this.host.memory.tables.freeFile(this.row)
  }
}
