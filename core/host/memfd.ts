// memfd: an ordinary shared file in memory (mm/shmem.c in small): mapped, read and written; of fixed size.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { type FileSystem, FileType, type Inode, OpenFile, OpenFlag, VM_FAULT_SIGBUS } from './file.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import { FileKind } from './tables.ts'
import type { Vma } from './vma.ts'

const tmpfs: FileSystem = { magic: 0x01021994, blockSize: 4096, blocks: 0, nameLength: 255, noExec: false }

class MemfdInode implements Inode {
  readonly host: Host
  readonly number: number
  readonly mode = FileType.regular | 0o777
  readonly links = 0
  readonly size: number
  readonly name: string
  readonly fileSystem = tmpfs
  readonly row: number
  readonly mappings = new Set<Vma>()
  readonly folios = new XArray<number>()

  constructor(host: Host, name: string, size: number) {
    this.host = host
    this.number = host.nextInode()
    this.size = size
    this.name = `/memfd:${name} (deleted)`
    this.row = host.memory.tables.allocFile(FileKind.memfd, this.number, 0, -1, size)
  }

  /** The zeroed folio at an index, made when absent; -1 when there is no memory. */
  folioOrCreate(index: number): number {
    const present = this.folios.get(index)
    if (present !== undefined) return present
    const pfn = this.host.buddy.tryAlloc(0, PageType.file, this.row, index)
    if (pfn < 0) return -1
    this.host.memory.zeroFrame(pfn as Pfn)
    this.host.memory.folios.set(pfn as Pfn, PG.uptodate)
    this.host.memory.tables.addFileFolios(this.row, 1)
    this.folios.set(index, pfn)
    return pfn
  }
}

export class Memfd extends OpenFile {
  declare readonly inode: MemfdInode

  /** `size` in bytes, page aligned. */
  constructor(host: Host, name: string, size: number) {
    super(new MemfdInode(host, name, size), OpenFlag.RDWR | OpenFlag.LARGEFILE)
  }

  override get mappable(): boolean {
    return true
  }

  override get mappings(): Set<Vma> {
    return this.inode.mappings
  }

  override mmap(): void {}

  // biome-ignore lint/correctness/useYield: never waits
  override *fault(_vma: Vma, index: number): KernelTask<Pfn | number> {
    if (index >= Math.ceil(this.inode.size / PAGE_SIZE)) return VM_FAULT_SIGBUS
    return this.inode.folioOrCreate(index)
  }

  override resident(index: number): boolean {
    return this.inode.folios.get(index) !== undefined
  }

  protected override *release(): KernelTask<void> {
    const { buddy, memory } = this.inode.host
    this.inode.folios.forRange(0, this.inode.size / PAGE_SIZE, (pfn) => buddy.put(pfn as Pfn))
    memory.tables.freeFile(this.inode.row)
  }
}
