// Open files: reference-counted descriptions with the operations a kind of file overrides.
//
// The defaults are what Linux's VFS answers for a missing operation (fs/ioctl.c, fs/read_write.c, fs/open.c, v6.18).

import { KernelError } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'
import type { UserArgument } from './user-argument.ts'
import type { Vma } from './vma.ts'

/** File types of st_mode. */
export const FileType = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  regular: 0o100000,
  /** An anonymous inode without a type. */
  none: 0,
} as const

/** Open flags that matter here. */
export const OpenFlag = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  ACCMODE: 3,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DIRECT: 0o40000,
  LARGEFILE: 0o100000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const

/** What fstat, fstatfs and the descriptor's link in procfs tell. */
export interface Inode {
  readonly number: number
  /** FileType and permission bits. */
  readonly mode: number
  readonly links: number
  /** Bytes. */
  readonly size: number
  /** Name of the descriptor's link in procfs. */
  readonly name: string
  readonly fileSystem: FileSystem
}

export interface FileSystem {
  readonly magic: number
  readonly blockSize: number
  readonly blocks: number
  readonly nameLength: number
  /** Mappings may not be executable (SB_I_NOEXEC). */
  readonly noExec: boolean
}

/** The file system of anonymous inodes (fs/anon_inodes.c). */
export const anonInodeFs: FileSystem = {
  magic: 0x09041934,
  blockSize: 4096,
  blocks: 0,
  nameLength: 255,
  noExec: true,
}

/** A page fault on a file mapping found no page: SIGBUS. */
export const VM_FAULT_SIGBUS = -1
/** A page fault lost a race: try again. */
export const VM_FAULT_RETRY = -2

export abstract class OpenFile {
  readonly inode: Inode
  /** OpenFlag bits. */
  flags: number
  #references = 1

  constructor(inode: Inode, flags: number) {
    this.inode = inode
    this.flags = flags
  }

  get references(): number {
    return this.#references
  }

  get type(): number {
    return this.inode.mode & 0o170000
  }

  get readable(): boolean {
    const mode = this.flags & OpenFlag.ACCMODE
    return mode === OpenFlag.RDONLY || mode === OpenFlag.RDWR
  }

  get writable(): boolean {
    return (this.flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY
  }

  /** get_file: one more descriptor or mapping. */
  get(): this {
    this.#references++
    return this
  }

  /** fput: the last one releases the file. */
  *put(): KernelTask<void> {
    if (--this.#references === 0) yield* this.release()
  }

  /** Last reference gone. */
  protected *release(): KernelTask<void> {}

  /** open(2) of the descriptor's link in procfs. An anonymous inode cannot be opened again (no_open): ENXIO. */
  reopen(_flags: number): OpenFile {
    throw new KernelError('ENXIO')
  }

  /** Result of ioctl(2), or a KernelError. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *ioctl(_process: Process, _number: number, _argument: UserArgument): KernelTask<number> {
    throw new KernelError('ENOTTY')
  }

  /** True when the file can be mapped at all. */
  get mappable(): boolean {
    return false
  }

  /** Called with the new mapping before it is installed; refuses by KernelError. */
  mmap(_vma: Vma): void {
    throw new KernelError('ENODEV')
  }

  /** Page fault of a mapping: a frame (no reference taken), or VM_FAULT_*. No step follows before it is mapped. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *fault(_vma: Vma, _index: number, _write: boolean): KernelTask<Pfn | number> {
    return VM_FAULT_SIGBUS
  }

  /** mincore: the page holds contents. */
  resident(_index: number): boolean {
    return false
  }

  /** The set of mappings of the inode, kept by mmap and munmap; null when the file has none. */
  get mappings(): Set<Vma> | null {
    return null
  }

  /** fallocate after the VFS's own checks; offset and length in bytes. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *fallocate(_mode: number, _offset: number, _length: number): KernelTask<void> {
    throw new KernelError('EOPNOTSUPP')
  }

  /** setattr (ftruncate, fchmod): 0, or a KernelError. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *setattr(): KernelTask<number> {
    throw new KernelError('EINVAL')
  }

  /** read(2), write(2): bytes moved. */
  read(_length: number): number {
    throw new KernelError('EINVAL')
  }

  write(_length: number): number {
    throw new KernelError('EINVAL')
  }
}

/** A file opened O_PATH: a place in the tree, not an open file. fget does not find it. */
export class PathFile extends OpenFile {
  constructor(inode: Inode) {
    super(inode, OpenFlag.PATH)
  }
}
