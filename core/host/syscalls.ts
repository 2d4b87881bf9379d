// System calls of one process: what a VMM issues. Each returns a value >= 0, or -errno.

import { Errno, KernelError } from '../base/errno.ts'
import { asUnsigned } from '../base/u64.ts'
import type { Hva } from '../base/units.ts'
import { fallocateFile } from './fallocate.ts'
import { type OpenFile, OpenFlag, PathFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'
import { madvise } from './madvise.ts'
import { Memfd } from './memfd.ts'
import { MapFlag, mincore, mlock, mmap, mprotect, munmap } from './mmap.ts'
import type { Access, Process } from './process.ts'
import { openSpecial, type SpecialKind } from './special-files.ts'
import type { UserArgument } from './user-argument.ts'
import { Prot } from './vma.ts'

export interface Stat {
  readonly size: number
  /** 512-byte blocks. */
  readonly blocks: number
  readonly blockSize: number
  readonly mode: number
  readonly links: number
  readonly inode: number
}

export interface StatFs {
  readonly type: number
  readonly blockSize: number
  readonly blocks: number
  readonly nameLength: number
}

/** Commands of fcntl(2) that every file answers. */
const Fcntl = { GETFD: 1, SETFD: 2, GETFL: 3, SETFL: 4 } as const
/** Commands that work on a file opened O_PATH. */
const PATH_COMMANDS = new Set<number>([Fcntl.GETFD, Fcntl.SETFD, Fcntl.GETFL])
/** Flags that F_SETFL changes. */
const SETFL_MASK = OpenFlag.APPEND | OpenFlag.NONBLOCK

export class Syscalls {
  readonly process: Process

  constructor(process: Process) {
    this.process = process
  }

  /** `argument`: the structure's bytes (results are written into them), an integer, or a user address. */
  ioctl(fd: number, number: number, argument: UserArgument = 0): KernelTask<number> {
    return this.#onFile(fd, (file) => file.ioctl(this.process, number, argument))
  }

  /** The start of the mapping, or -errno. Length u64, offset s64 (see base/u64.ts). */
  mmap(length: number, prot: number, flags: number, fd: number, offset: number): KernelTask<number> {
    const file = flags & MapFlag.ANONYMOUS ? null : fd
    return result(mmap(this.process, { length: asUnsigned(length), prot, flags, fd: file, offset }))
  }

  /** Private anonymous memory, readable and writable. */
  mmapAnonymous(length: number): KernelTask<number> {
    return this.mmap(length, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
  }

  munmap(start: number, length: number): KernelTask<number> {
    return result(munmap(this.process, start, asUnsigned(length)))
  }

  mprotect(start: number, length: number, prot: number): KernelTask<number> {
    return result(mprotect(this.process, start, asUnsigned(length), prot))
  }

  madvise(start: number, length: number, advice: number): KernelTask<number> {
    return result(madvise(this.process, start, asUnsigned(length), advice))
  }

  mlock(start: number, length: number): KernelTask<number> {
    return result(mlock(this.process, start, asUnsigned(length)))
  }

  /** A flag per page, or -errno. */
  *mincore(start: number, length: number): KernelTask<boolean[] | number> {
    try {
      return yield* mincore(this.process, start, length)
    } catch (error) {
      return failure(error)
    }
  }

  /** Offset and length s64. */
  fallocate(fd: number, mode: number, offset: number, length: number): KernelTask<number> {
    return this.#onFile(fd, (file) => fallocateFile(file, mode, offset, length))
  }

  *close(fd: number): KernelTask<number> {
    try {
      const file = this.process.fds.remove(fd)
      yield* file.put()
      return 0
    } catch (error) {
      return failure(error)
    }
  }

  dup(fd: number): number {
    return attempt(() => {
      const file = this.process.fds.getRaw(fd)
      const copy = this.process.fds.install(file, false)
      file.get()
      return copy
    })
  }

  /** open(2) of /proc/self/fd/N: ENOENT when not open; O_PATH always works. */
  reopen(fd: number, flags: number): number {
    return attempt(() => {
      const { fds } = this.process
      const file = inProcfs(() => fds.getRaw(fd))
      fds.reserve()
      const opened = flags & OpenFlag.PATH ? new PathFile(file.inode) : file.reopen(flags)
      return fds.install(opened, (flags & OpenFlag.CLOEXEC) !== 0)
    })
  }

  fstat(fd: number): Stat | number {
    return attempt(() => {
      const { inode } = this.process.fds.getRaw(fd)
      return {
        size: inode.size,
        blocks: 0,
        blockSize: 4096,
        mode: inode.mode,
        links: inode.links,
        inode: inode.number,
      }
    })
  }

  fstatfs(fd: number): StatFs | number {
    return attempt(() => {
      const { fileSystem } = this.process.fds.getRaw(fd).inode
      return {
        type: fileSystem.magic,
        blockSize: fileSystem.blockSize,
        blocks: fileSystem.blocks,
        nameLength: fileSystem.nameLength,
      }
    })
  }

  /** Target of /proc/self/fd/N. ENOENT when not open. */
  readlinkFd(fd: number): string | number {
    return attempt(() => inProcfs(() => this.process.fds.getRaw(fd)).inode.name)
  }

  *ftruncate(fd: number, length: number): KernelTask<number> {
    if (length < 0) return -Errno.EINVAL
    return yield* this.#setattr(fd)
  }

  fchmod(fd: number, _mode: number): KernelTask<number> {
    return this.#setattr(fd)
  }

  #setattr(fd: number): KernelTask<number> {
    return this.#onFile(fd, (file) => file.setattr())
  }

  read(fd: number, length: number): number {
    return attempt(() => {
      const file = this.process.fds.get(fd)
      if (!file.readable) throw new KernelError('EBADF')
      return file.read(length)
    })
  }

  write(fd: number, length: number): number {
    return attempt(() => {
      const file = this.process.fds.get(fd)
      if (!file.writable) throw new KernelError('EBADF')
      return file.write(length)
    })
  }

  /** pread and pwrite: no file here has positions. */
  positioned(fd: number, offset: number): number {
    return attempt(() => {
      if (offset < 0) throw new KernelError('EINVAL')
      this.process.fds.get(fd)
      throw new KernelError('ESPIPE')
    })
  }

  lseek(fd: number, whence: number): number {
    return attempt(() => {
      this.process.fds.get(fd)
      throw new KernelError(whence >>> 0 > 4 ? 'EINVAL' : 'ESPIPE')
    })
  }

  fsync(fd: number): number {
    return attempt(() => {
      this.process.fds.get(fd)
      throw new KernelError('EINVAL')
    })
  }

  fcntl(fd: number, command: number, value: number): number {
    return attempt(() => {
      const { fds } = this.process
      const file = fds.getRaw(fd)
      if (file.flags & OpenFlag.PATH && !PATH_COMMANDS.has(command)) throw new KernelError('EBADF')
      switch (command) {
        case Fcntl.GETFD:
          return fds.closeOnExec(fd) ? 1 : 0
        case Fcntl.SETFD:
          fds.setCloseOnExec(fd, (value & 1) !== 0)
          return 0
        case Fcntl.GETFL:
          return file.flags
        case Fcntl.SETFL:
          // No file here can do direct I/O.
          if (value & OpenFlag.DIRECT) throw new KernelError('EINVAL')
          file.flags = (file.flags & ~SETFL_MASK) | (value & SETFL_MASK)
          return 0
        default:
          throw new KernelError('EINVAL')
      }
    })
  }

  /** memfd_create of a file with `size` bytes. */
  memfd(name: string, size: number): number {
    return attempt(() => {
      this.process.fds.reserve()
      return this.process.fds.install(new Memfd(this.process.host, name, size), false)
    })
  }

  openSpecial(kind: SpecialKind): number {
    return attempt(() => {
      this.process.fds.reserve()
      return this.process.fds.install(openSpecial(this.process.host, kind), false)
    })
  }

  /** A load by the process: bytes, or the signal it raised. */
  load(at: Hva, length: number): KernelTask<Access<Uint8Array>> {
    return this.process.load(at, length)
  }

  store(at: Hva, bytes: Uint8Array): KernelTask<Access<number>> {
    return this.process.store(at, bytes)
  }

  /** Runs `call` on an open file, which stays open meanwhile (fdget). */
  *#onFile(fd: number, call: (file: OpenFile) => KernelTask<number>): KernelTask<number> {
    const file = this.process.fds.lookup(fd)
    if (!file) return -Errno.EBADF
    file.get()
    let value: number
    try {
      value = yield* call(file)
    } catch (error) {
      value = failure(error)
    }
    yield* file.put()
    return value
  }
}

function* result(task: KernelTask<number>): KernelTask<number> {
  try {
    return yield* task
  } catch (error) {
    return failure(error)
  }
}

const attempt = <T>(call: () => T): T | number => {
  try {
    return call()
  } catch (error) {
    return failure(error)
  }
}

/** Looking a descriptor up in procfs: what is not open is not there. */
const inProcfs = (get: () => OpenFile): OpenFile => {
  try {
    return get()
  } catch {
    throw new KernelError('ENOENT')
  }
}

const failure = (error: unknown): number => {
  if (error instanceof KernelError) return -Errno[error.errno]
  throw error
}
