// Open files: reference-counted descriptions with the operations a kind of file overrides.
//
// The defaults are what Linux's VFS answers for a missing operation (fs/ioctl.c, fs/read_write.c, fs/open.c, v6.18).

import { KernelError } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import type { KernelTask } from './kernel-task.ts'
import type { SharedPolicy } from './mempolicy.ts'
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
  DIRECTORY: 0o200000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const

/** Status flags of a file opened by name: on a 64-bit kernel every one is large. */
export const openedWith = (flags: number): number => (flags & ~OpenFlag.CLOEXEC) | OpenFlag.LARGEFILE

/** What fstat, fstatfs and the descriptor's link in procfs tell. */
export interface Inode {
  readonly number: number
  /** FileType and permission bits. */
  readonly mode: number
  readonly links: number
  /** Bytes. */
  readonly size: number
  /** Blocks of 512 bytes; absent: none. */
  readonly blocks?: number
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

/** Number of the one inode that anonymous files without one of their own share (anon_inode_inode). */
export const ANON_INODE = 0

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
    const mode = this.flags & OpenFlag.ACCMODE
    return mode === OpenFlag.WRONLY || mode === OpenFlag.RDWR
  }

  /** pread and pwrite work on it (FMODE_PREAD); anonymous files are not opened by a name, and cannot. */
  get positioned(): boolean {
    return false
  }

  /** O_DIRECT may be set (FMODE_CAN_ODIRECT). */
  get directIo(): boolean {
    return false
  }

  /** The kernel does not touch its pages on anybody's behalf (vma_is_secretmem). */
  get secret(): boolean {
    return false
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

  /** A place in the tree (O_PATH) refers to the inode, not to the open file. The result lets go of it. */
  holdInode(): () => void {
    return () => {}
  }

  /** open(2) of the descriptor's link in procfs. An anonymous inode cannot be opened again (no_open): ENXIO. */
  reopen(_flags: number): OpenFile {
    throw new KernelError('ENXIO')
  }

  /** Result of ioctl(2), or a KernelError. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *ioctl(_process: Process, _number: number, _argument: UserArgument): KernelTask<number> {
    throw new KernelError('ENOTTY')
  }

  /** Its mappings show frames that they do not own (VM_PFNMAP). */
  get pfnMap(): boolean {
    return false
  }

  /** True when the file can be mapped at all. */
  get mappable(): boolean {
    return false
  }

  /** Called with the new mapping before it is installed; refuses by KernelError. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *mmap(_vma: Vma): KernelTask<void> {
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

  /** NUMA policies of the file's pages, which mbind sets through any mapping; null: mappings have their own only. */
  get sharedPolicy(): SharedPolicy | null {
    return null
  }

  /** fallocate after the VFS's own checks; offset and length in bytes. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *fallocate(_mode: number, _offset: number, _length: number): KernelTask<void> {
    throw new KernelError('EOPNOTSUPP')
  }

  /** ftruncate of a regular file opened for writing; bytes. */
  // biome-ignore lint/correctness/useYield: the default refuses at once
  *truncate(_length: number): KernelTask<void> {
    throw new KernelError('EINVAL')
  }

  /** fchmod; the permission bits. The inode that anonymous files share refuses (anon_inode_setattr). */
  chmod(_mode: number): void {
    throw new KernelError('EOPNOTSUPP')
  }

  /** read(2) and pread(2): bytes moved. `offset` null: from the file's position. */
  read(_length: number, _offset: number | null): number {
    throw new KernelError('EINVAL')
  }

  /** write(2) and pwrite(2) of zeroes. */
  write(_length: number, _offset: number | null): number {
    throw new KernelError('EINVAL')
  }

  /** lseek(2), with a whence there is: the position. A file without positions: ESPIPE. */
  lseek(_offset: number, _whence: number): number {
    throw new KernelError('ESPIPE')
  }

  /** fsync(2). */
  sync(): void {
    throw new KernelError('EINVAL')
  }

  /** The seals of fcntl(2), where the file has any; null: it has not. */
  get seals(): number | null {
    return null
  }
}

/** A file opened O_PATH: a place in the tree, not an open file. fget does not find it; it can be opened again. */
export class PathFile extends OpenFile {
  readonly #place: OpenFile
  readonly #letGo: () => void

  /** `place`: an open file that is, or was, there. */
  constructor(place: OpenFile) {
    super(place.inode, OpenFlag.PATH)
    this.#place = place
    this.#letGo = place.holdInode()
  }

  override holdInode(): () => void {
    return this.#place.holdInode()
  }

  // biome-ignore lint/correctness/useYield: never waits
  protected override *release(): KernelTask<void> {
    this.#letGo()
  }

  override reopen(flags: number): OpenFile {
    return this.#place.reopen(flags)
  }
}

/** A file over the anonymous inode, as a VM or a vCPU is one (anon_inode_getfile, fs/anon_inodes.c). */
export abstract class AnonInodeFile extends OpenFile {
  /** `name`: what follows `anon_inode:`. */
  constructor(name: string) {
    super(
      {
        number: ANON_INODE,
        mode: 0o600,
        links: 1,
        size: 0,
        name: `anon_inode:${name}`,
        fileSystem: anonInodeFs,
      },
      OpenFlag.RDWR,
    )
  }

  /** noop_llseek. */
  override lseek(): number {
    return 0
  }
}
