// Files that are no memory anybody could bind: they exist so that calls on them are refused as Linux refuses them.

import { KernelError } from '../base/errno.ts'
import {
  ANON_INODE,
  anonInodeFs,
  type FileSystem,
  FileType,
  OpenFile,
  OpenFlag,
  openedWith,
  PathFile,
} from './file.ts'
import type { Host } from './host.ts'

interface SpecialFile {
  readonly mode: number
  readonly flags: number
  readonly name: string
  readonly fileSystem: FileSystem
}

const diskFs: FileSystem = { ...anonInodeFs, magic: 0xef53, noExec: false }
const pseudoFs = (magic: number): FileSystem => ({ ...anonInodeFs, magic })

/** Magic numbers of statfs(2) (include/uapi/linux/magic.h, v6.18). */
const PIPEFS_MAGIC = 0x50495045
const DMA_BUF_MAGIC = 0x444d4142
const DEVMEM_MAGIC = 0x454d444d
const BALLOON_KVM_MAGIC = 0x13661366

const kinds = {
  /** The reading end of a pipe. */
  pipe: {
    mode: FileType.fifo | 0o600,
    flags: OpenFlag.RDONLY,
    name: 'pipe:',
    fileSystem: pseudoFs(PIPEFS_MAGIC),
  },
  /** The null device. */
  null: {
    mode: FileType.character | 0o666,
    flags: OpenFlag.RDWR | OpenFlag.LARGEFILE,
    name: '/dev/null',
    fileSystem: diskFs,
  },
  eventfd: { mode: 0o600, flags: OpenFlag.RDWR, name: 'anon_inode:[eventfd]', fileSystem: anonInodeFs },
  directory: {
    mode: FileType.directory | 0o755,
    flags: OpenFlag.RDONLY | OpenFlag.LARGEFILE | OpenFlag.DIRECTORY,
    name: '/',
    fileSystem: diskFs,
  },
  // User space cannot make these by a call of its own: a driver hands them out, or the kernel keeps them to itself.
  /** A buffer that a driver exports. */
  dma_buf: {
    mode: FileType.regular,
    flags: OpenFlag.RDWR,
    name: '/dmabuf:',
    fileSystem: pseudoFs(DMA_BUF_MAGIC),
  },
  /** The inode behind /dev/mem. */
  devmem: {
    mode: FileType.regular,
    flags: OpenFlag.RDWR,
    name: '/dev/mem',
    fileSystem: pseudoFs(DEVMEM_MAGIC),
  },
  /** The inode that a balloon's pages belonged to, so that they could be moved. */
  balloon: {
    mode: FileType.regular,
    flags: OpenFlag.RDWR,
    name: 'balloon-kvm',
    fileSystem: pseudoFs(BALLOON_KVM_MAGIC),
  },
} as const satisfies Record<string, SpecialFile>

/** `path`: a directory opened O_PATH. */
export type SpecialKind = keyof typeof kinds | 'path'

/** Everything is refused as the VFS refuses what a file has no method for. */
class Special extends OpenFile {}

/** /dev/null: reads nothing and takes everything. */
class NullDevice extends OpenFile {
  override get positioned(): boolean {
    return true
  }

  override read(): number {
    return 0
  }

  override write(length: number): number {
    return length
  }

  /** null_lseek. */
  override lseek(): number {
    return 0
  }

  override reopen(flags: number): OpenFile {
    return new NullDevice(this.inode, openedWith(flags))
  }
}

/** eventfd: a counter, which is written in words of eight bytes (fs/eventfd.c). */
class EventFile extends OpenFile {
  override write(length: number): number {
    if (length !== 8) throw new KernelError('EINVAL')
    return 8
  }

  /** noop_llseek. */
  override lseek(): number {
    return 0
  }
}

class Directory extends OpenFile {
  override get positioned(): boolean {
    return true
  }

  /** generic_read_dir. */
  override read(): number {
    throw new KernelError('EISDIR')
  }

  override sync(): void {}

  override reopen(flags: number): OpenFile {
    if (flags & OpenFlag.ACCMODE) throw new KernelError('EISDIR')
    return new Directory(this.inode, openedWith(flags))
  }
}

const classes: Partial<Record<SpecialKind, typeof NullDevice | typeof EventFile | typeof Directory>> = {
  null: NullDevice,
  eventfd: EventFile,
  directory: Directory,
}

export const openSpecial = (host: Host, kind: SpecialKind): OpenFile => {
  if (kind === 'path') return new PathFile(openSpecial(host, 'directory'))
  const { mode, flags, name, fileSystem } = kinds[kind]
  const number = kind === 'eventfd' ? ANON_INODE : host.nextInode()
  return new (classes[kind] ?? Special)({ number, mode, links: 1, size: 0, name, fileSystem }, flags)
}
