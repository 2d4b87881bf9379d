// memfd: an ordinary file in memory (mm/shmem.c and mm/memfd.c, v6.18): mapped, read, written, resized.

import { KernelError } from '../base/errno.ts'
import { pageOfSum, S64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { Falloc } from './fallocate.ts'
import { type FileSystem, FileType, OpenFile, OpenFlag, openedWith, VM_FAULT_SIGBUS } from './file.ts'
import { Whence } from './file-calls.ts'
import type { KernelTask } from './kernel-task.ts'
import type { SharedPolicy } from './mempolicy.ts'
import type { Process } from './process.ts'
import { ShmemInode } from './shmem-inode.ts'
import type { Vma } from './vma.ts'

const tmpfs: FileSystem = { magic: 0x01021994, blockSize: 4096, blocks: 0, nameLength: 255, noExec: false }

/** F_SEAL_SEAL: made without MFD_ALLOW_SEALING, it takes no seals. */
const SEALED = 1
/** Largest file, as a page count: the last byte is 2^63 - 2. */
const MAX_PAGES = S64_PAGES

export class Memfd extends OpenFile {
  declare readonly inode: ShmemInode
  readonly #task: Process
  readonly #reopened: boolean
  #position = 0

  private constructor(inode: ShmemInode, flags: number, task: Process, reopened: boolean) {
    super(inode.open(), flags)
    this.#task = task
    this.#reopened = reopened
  }

  /** A new file of `size` bytes, which allocates on behalf of `task`. */
  static create(task: Process, name: string, size: number): Memfd {
    const inode = new ShmemInode(task.host, {
      name: `/memfd:${name} (deleted)`,
      size,
      mode: FileType.regular | 0o777,
      links: 0,
      fileSystem: tmpfs,
    })
    return new Memfd(inode, OpenFlag.RDWR | OpenFlag.LARGEFILE, task, false)
  }

  override get mappable(): boolean {
    return true
  }

  override get positioned(): boolean {
    return true
  }

  /** Only what was opened by its name in procfs went through shmem_file_open. */
  override get directIo(): boolean {
    return this.#reopened
  }

  override get seals(): number {
    return SEALED
  }

  override get mappings(): Set<Vma> {
    return this.inode.mappings
  }

  override get sharedPolicy(): SharedPolicy {
    return this.inode.policy
  }

  override *mmap(): KernelTask<void> {}

  // biome-ignore lint/correctness/useYield: never waits
  override *fault(vma: Vma, index: number): KernelTask<Pfn | number> {
    if (index >= this.inode.pages) return VM_FAULT_SIGBUS
    return this.inode.folioOrCreate(index, vma.process)
  }

  override resident(index: number): boolean {
    return this.inode.hasData(index)
  }

  override holdInode(): () => void {
    this.inode.open()
    return () => this.inode.close()
  }

  override reopen(flags: number): OpenFile {
    return new Memfd(this.inode, openedWith(flags), this.#task, true)
  }

  override read(length: number, offset: number | null): number {
    const at = offset ?? this.#position
    const count = Math.max(0, Math.min(length, this.inode.size - at))
    if (offset === null) this.#position += count
    return count
  }

  override write(length: number, offset: number | null): number {
    if (length === 0) return 0
    const inode = this.inode
    const at = this.flags & OpenFlag.APPEND ? inode.size : (offset ?? this.#position)
    if (pageOfSum(at, length) >= MAX_PAGES) throw new KernelError('EFBIG')
    const end = at + length
    for (let index = Math.floor(at / PAGE_SIZE); index * PAGE_SIZE < end; index++)
      if (inode.folioOrCreate(index, this.#task) < 0) throw new KernelError('ENOSPC')
    inode.zero(at, end)
    inode.size = Math.max(inode.size, end)
    if (offset === null) this.#position = end
    return length
  }

  /** shmem_file_llseek. */
  override lseek(offset: number, whence: number): number {
    const to = this.#seek(offset, whence)
    if (to < 0 || to / PAGE_SIZE >= MAX_PAGES) throw new KernelError('EINVAL')
    this.#position = to
    return to
  }

  #seek(offset: number, whence: number): number {
    const { inode } = this
    switch (whence) {
      case Whence.CUR:
        return this.#position + offset
      case Whence.END:
        return inode.size + offset
      case Whence.DATA:
      case Whence.HOLE: {
        if (offset < 0 || offset >= inode.size) throw new KernelError('ENXIO')
        const data = whence === Whence.DATA
        const page = inode.findPage(Math.floor(offset / PAGE_SIZE), inode.pages, data)
        if (page < 0 && data) throw new KernelError('ENXIO')
        return page < 0 ? inode.size : Math.min(inode.size, Math.max(offset, page * PAGE_SIZE))
      }
      default:
        return offset
    }
  }

  override sync(): void {}

  override chmod(mode: number): void {
    this.inode.mode = FileType.regular | mode
  }

  override *truncate(length: number): KernelTask<void> {
    const { inode } = this
    const size = inode.size
    inode.size = length
    // To the end of the address space: private mappings may show more than the file ever had.
    if (length < size) yield* inode.remove(length, S64_PAGES * PAGE_SIZE, true)
  }

  /** shmem_fallocate. */
  override *fallocate(mode: number, offset: number, length: number): KernelTask<void> {
    const { inode } = this
    if (mode & ~(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE)) throw new KernelError('EOPNOTSUPP')
    if (mode & Falloc.PUNCH_HOLE) return yield* inode.remove(offset, offset + length)
    const end = offset + length
    for (let index = Math.floor(offset / PAGE_SIZE); index * PAGE_SIZE < end; index++)
      if (inode.allocate(index, this.#task) < 0) throw new KernelError('ENOSPC')
    if (!(mode & Falloc.KEEP_SIZE)) inode.size = Math.max(inode.size, end)
  }

  // biome-ignore lint/correctness/useYield: never waits
  protected override *release(): KernelTask<void> {
    this.inode.close()
  }
}
