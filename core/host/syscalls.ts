// System calls of one process: what a VMM issues. Each returns a value >= 0, or -errno.

import { Errno, KernelError } from '../base/errno.ts'
import { asUnsigned } from '../base/u64.ts'
import type { Hva } from '../base/units.ts'
import { fallocateFile } from './fallocate.ts'
import { fcntl } from './fcntl.ts'
import { type OpenFile, OpenFlag, PathFile } from './file.ts'
import { checkRange, positioned, readable, truncateFile, Whence, writable } from './file-calls.ts'
import { exitProcess, fork } from './fork.ts'
import type { KernelTask } from './kernel-task.ts'
import { madvise } from './madvise.ts'
import { Memfd } from './memfd.ts'
import { getMempolicy, type MbindRequest, type MempolicyAnswer, mbind, setMempolicy } from './mempolicy.ts'
import { MapFlag, mincore, mlock, mmap, mprotect, munmap } from './mmap.ts'
import { pipe2, vmsplice } from './pipe.ts'
import type { Access, Process } from './process.ts'
import { SecretMem } from './secretmem.ts'
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

  /** open(2) of /proc/self/fd/N: ENOENT when not open; O_PATH always works. `flags`: OpenFlag bits. */
  reopen(fd: number, flags: number): number {
    return attempt(() => {
      const { fds } = this.process
      const file = inProcfs(() => fds.getRaw(fd))
      fds.reserve()
      const opened = flags & OpenFlag.PATH ? new PathFile(file) : file.reopen(flags)
      return fds.install(opened, (flags & OpenFlag.CLOEXEC) !== 0)
    })
  }

  fstat(fd: number): Stat | number {
    return attempt(() => {
      const { inode } = this.process.fds.getRaw(fd)
      return {
        size: inode.size,
        blocks: inode.blocks ?? 0,
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

  /** Length s64 in bytes. */
  *ftruncate(fd: number, length: number): KernelTask<number> {
    if (length < 0) return -Errno.EINVAL
    return yield* this.#onFile(fd, (file) => truncateFile(file, length))
  }

  fchmod(fd: number, mode: number): number {
    return attempt(() => {
      this.process.fds.get(fd).chmod(mode & 0o7777)
      return 0
    })
  }

  read(fd: number, length: number): number {
    return attempt(() => readable(this.process.fds.get(fd)).read(length, null))
  }

  /** Of zeroes. */
  write(fd: number, length: number): number {
    return attempt(() => writable(this.process.fds.get(fd)).write(length, null))
  }

  /** Offset s64. */
  pread(fd: number, length: number, offset: number): number {
    return attempt(() =>
      checkRange(readable(positioned(this.process.fds, fd, offset)), length, offset).read(length, offset),
    )
  }

  /** Of zeroes. Offset s64. */
  pwrite(fd: number, length: number, offset: number): number {
    return attempt(() =>
      checkRange(writable(positioned(this.process.fds, fd, offset)), length, offset).write(length, offset),
    )
  }

  /** Offset s64. */
  lseek(fd: number, offset: number, whence: number): number {
    return attempt(() => {
      const file = this.process.fds.get(fd)
      if (whence >>> 0 > Whence.HOLE) throw new KernelError('EINVAL')
      return file.lseek(offset, whence)
    })
  }

  fsync(fd: number): number {
    return attempt(() => {
      this.process.fds.get(fd).sync()
      return 0
    })
  }

  fcntl(fd: number, command: number, value: number): number {
    return attempt(() => fcntl(this.process.fds, fd, command, value))
  }

  /** memfd_create of a file with `size` bytes. */
  memfd(name: string, size: number): number {
    return this.#install(() => Memfd.create(this.process, name, size))
  }

  /** memfd_secret of a file with `size` bytes. */
  memfdSecret(size: number): number {
    return this.#install(() => new SecretMem(this.process.host, size))
  }

  /** A file of a kind that no bindable memory is. */
  openSpecial(kind: SpecialKind): number {
    return this.#install(() => openSpecial(this.process.host, kind))
  }

  #install(make: () => OpenFile): number {
    return attempt(() => {
      this.process.fds.reserve()
      return this.process.fds.install(make(), false)
    })
  }

  /** A load by the process: bytes, or the signal it raised. */
  load(at: Hva, length: number): KernelTask<Access<Uint8Array>> {
    return this.process.load(at, length)
  }

  store(at: Hva, bytes: Uint8Array): KernelTask<Access<number>> {
    return this.process.store(at, bytes)
  }

  /** The same for an aligned 16-bit word, never torn and in order (Process.load16). */
  load16(at: Hva): KernelTask<Access<number>> {
    return this.process.load16(at)
  }

  store16(at: Hva, value: number): KernelTask<Access<number>> {
    return this.process.store16(at, value)
  }

  /** fork(2): the child's system calls. */
  *fork(): KernelTask<Syscalls> {
    return new Syscalls(yield* fork(this.process))
  }

  /** _exit(2): the process issues no call after it. */
  exit(): KernelTask<void> {
    return exitProcess(this.process)
  }

  /** pipe2(2): the reading and the writing end, or -errno. */
  pipe2(flags: number): [read: number, write: number] | number {
    return attempt(() => pipe2(this.process, flags))
  }

  /** vmsplice(2) of one segment: bytes taken, or -errno. */
  vmsplice(fd: number, address: number, length: number, flags: number): KernelTask<number> {
    return result(vmsplice(this.process, fd, address, length, flags))
  }

  /** The mask of nodes is the argument's bytes, or lies at its address; 0: NULL. */
  setMempolicy(mode: number, nodes: UserArgument, maxNode: number): KernelTask<number> {
    return result(setMempolicy(this.process, mode, nodes, maxNode))
  }

  mbind(request: MbindRequest): KernelTask<number> {
    return result(mbind(this.process, request))
  }

  /** What get_mempolicy(2) stores, or -errno. `maxNode` null: no mask is asked for. */
  *getMempolicy(
    maxNode: number | null,
    address: number,
    flags: number,
  ): KernelTask<MempolicyAnswer | number> {
    try {
      return yield* getMempolicy(this.process, maxNode, address, flags)
    } catch (error) {
      return failure(error)
    }
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
