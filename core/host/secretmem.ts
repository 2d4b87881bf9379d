// memfd_secret: memory of the process's own that the kernel itself does not touch (mm/secretmem.c, v6.18).
//
// It is mapped shared and counts as locked; nobody can have the kernel read, write or pin its pages.

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { anonInodeFs, type FileSystem, FileType, OpenFile, OpenFlag, VM_FAULT_SIGBUS } from './file.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import { ShmemInode } from './shmem-inode.ts'
import type { Vma } from './vma.ts'

const SECRETMEM_MAGIC = 0x5345434d
const secretmemFs: FileSystem = { ...anonInodeFs, magic: SECRETMEM_MAGIC }

export class SecretMem extends OpenFile {
  declare readonly inode: ShmemInode

  /** `size` in bytes. */
  constructor(host: Host, size: number) {
    const inode = new ShmemInode(host, {
      name: '/secretmem (deleted)',
      size,
      mode: FileType.regular | 0o600,
      links: 1,
      fileSystem: secretmemFs,
    })
    super(inode.open(), OpenFlag.RDWR | OpenFlag.LARGEFILE)
  }

  override get secret(): boolean {
    return true
  }

  override get mappable(): boolean {
    return true
  }

  override get mappings(): Set<Vma> {
    return this.inode.mappings
  }

  // biome-ignore lint/correctness/useYield: never waits
  override *mmap(vma: Vma): KernelTask<void> {
    if (!vma.shared) throw new KernelError('EINVAL')
  }

  // biome-ignore lint/correctness/useYield: never waits
  override *fault(vma: Vma, index: number): KernelTask<Pfn | number> {
    if (index * PAGE_SIZE >= this.inode.size) return VM_FAULT_SIGBUS
    return this.inode.folioOrCreate(index, vma.process)
  }

  override resident(index: number): boolean {
    return this.inode.hasData(index)
  }

  override chmod(mode: number): void {
    this.inode.mode = FileType.regular | mode
  }

  /** Its size is set once. */
  // biome-ignore lint/correctness/useYield: never waits
  override *truncate(length: number): KernelTask<void> {
    if (this.inode.size > 0) throw new KernelError('EINVAL')
    this.inode.size = length
  }

  // biome-ignore lint/correctness/useYield: never waits
  protected override *release(): KernelTask<void> {
    this.inode.close()
  }
}
