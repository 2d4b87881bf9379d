// Pipes: a ring of page references. vmsplice puts a process's own pages into one and so pins them (fs/splice.c and
// fs/pipe.c, v7.2): a reference until somebody reads the bytes or closes the ends.
//
// Nothing here waits: where Linux would block, the call says EAGAIN.

import { KernelError } from '../base/errno.ts'
import { hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { type FileSystem, FileType, type Inode, OpenFile, OpenFlag } from './file.ts'
import { PageType } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'

/** Buffers of a pipe (PIPE_DEF_BUFFERS). */
export const PIPE_BUFFERS = 16
const PIPEFS: FileSystem = {
  magic: 0x50495045,
  blockSize: 4096,
  blocks: 0,
  nameLength: 255,
  noExec: true,
}
/** Flags that pipe2 knows. */
const PIPE_FLAGS = OpenFlag.CLOEXEC | OpenFlag.NONBLOCK | OpenFlag.DIRECT
/** SPLICE_F_MOVE, _NONBLOCK, _MORE and _GIFT. */
const SPLICE_FLAGS = 15

/** Bytes of one page; the buffer holds a reference to the frame. */
interface PipeBuffer {
  readonly pfn: Pfn
  /** Byte of the frame at which what is left begins. */
  offset: number
  length: number
}

export class Pipe {
  readonly host: Host
  readonly #buffers: PipeBuffer[] = []
  readers = 1
  writers = 1

  constructor(host: Host) {
    this.host = host
    host.pipes.add(this)
  }

  get full(): boolean {
    return this.#buffers.length >= PIPE_BUFFERS
  }

  /** The frames that buffers refer to; one more than once when several buffers show it. */
  *pages(): Iterable<Pfn> {
    for (const { pfn } of this.#buffers) yield pfn
  }

  /** Takes over the caller's reference to the frame. */
  push(pfn: Pfn, offset: number, length: number): void {
    this.#buffers.push({ pfn, offset, length })
  }

  /** The bytes that `consume` would take next from one page, at most `length`; empty when there are none. */
  peek(length: number): Uint8Array {
    const buffer = this.#buffers.at(0)
    if (!buffer) return new Uint8Array(0)
    const bytes = this.host.memory.frame(buffer.pfn)
    return bytes.subarray(buffer.offset, buffer.offset + Math.min(length, buffer.length))
  }

  /** False: the host's stage 2 keeps the kernel from the page that comes next, which was lent after it was pinned. */
  get reachable(): boolean {
    const buffer = this.#buffers.at(0)
    return !buffer || this.host.reaches(buffer.pfn, false)
  }

  /** Consumes up to `length` bytes; a buffer that is empty lets go of its page. Returns bytes. */
  consume(length: number): number {
    let done = 0
    while (done < length && this.#buffers.length > 0) {
      const [buffer] = this.#buffers
      const count = Math.min(length - done, buffer.length)
      buffer.offset += count
      buffer.length -= count
      done += count
      if (buffer.length > 0) break
      this.#buffers.shift()
      this.host.buddy.put(buffer.pfn)
    }
    return done
  }

  /** An end was closed; the last one takes the buffers with it. */
  closed(): void {
    if (this.readers > 0 || this.writers > 0) return
    this.consume(Number.POSITIVE_INFINITY)
    this.host.pipes.delete(this)
  }
}

/** One end of a pipe. */
class PipeEnd extends OpenFile {
  readonly pipe: Pipe

  constructor(pipe: Pipe, inode: Inode, flags: number) {
    super(inode, flags)
    this.pipe = pipe
  }

  /** 0 at the end: nothing left and nobody to write. EAGAIN: nothing yet. */
  override read(length: number): number {
    const done = this.pipe.consume(length)
    if (done === 0 && length > 0 && this.pipe.writers > 0) throw new KernelError('EAGAIN')
    return done
  }

  /** Fills pages of the kernel's own. EPIPE: nobody reads. EAGAIN: full. */
  override write(length: number): number {
    const { buddy, memory } = this.pipe.host
    if (length === 0) return 0
    if (this.pipe.readers === 0) throw new KernelError('EPIPE')
    let done = 0
    while (done < length && !this.pipe.full) {
      const count = Math.min(length - done, PAGE_SIZE)
      const pfn = buddy.tryAlloc(0, PageType.kernel, 0, 0)
      if (pfn < 0) break
      memory.zeroFrame(pfn as Pfn)
      this.pipe.push(pfn as Pfn, 0, count)
      done += count
    }
    if (done === 0) throw new KernelError(this.pipe.full ? 'EAGAIN' : 'ENOMEM')
    return done
  }

  // biome-ignore lint/correctness/useYield: never waits
  protected override *release(): KernelTask<void> {
    if (this.writable) this.pipe.writers--
    else this.pipe.readers--
    this.pipe.closed()
  }
}

/** pipe2(2): the reading and the writing end. EINVAL, EMFILE. */
export const pipe2 = (process: Process, flags: number): [read: number, write: number] => {
  if (flags & ~PIPE_FLAGS) throw new KernelError('EINVAL')
  const { host, fds } = process
  const number = host.nextInode()
  const inode: Inode = {
    number,
    mode: FileType.fifo | 0o600,
    links: 1,
    size: 0,
    name: `pipe:[${number}]`,
    fileSystem: PIPEFS,
  }
  fds.reserve(2)
  const pipe = new Pipe(host)
  const status = flags & ~OpenFlag.CLOEXEC
  const closeOnExec = (flags & OpenFlag.CLOEXEC) !== 0
  return [
    fds.install(new PipeEnd(pipe, inode, status | OpenFlag.RDONLY), closeOnExec),
    fds.install(new PipeEnd(pipe, inode, status | OpenFlag.WRONLY), closeOnExec),
  ]
}

/**
 * vmsplice(2) of one segment. Into the writing end: the pages of [address, address + length) as they are, pinned.
 * From the reading end: a copy. Returns bytes, fewer when the pipe is full or empty. EINVAL (flags), EBADF (no pipe),
 * EPIPE, EAGAIN (full or empty), EFAULT (the first page cannot be had).
 */
export function* vmsplice(
  process: Process,
  fd: number,
  address: number,
  length: number,
  flags: number,
): KernelTask<number> {
  if (flags & ~SPLICE_FLAGS) throw new KernelError('EINVAL')
  const file = process.fds.get(fd)
  if (length === 0) return 0
  if (!(file instanceof PipeEnd)) throw new KernelError('EBADF')
  const { pipe } = file
  file.get()
  try {
    if (!file.writable) return yield* copyOut(process, file, address, length)
    if (pipe.readers === 0) throw new KernelError('EPIPE')
    if (pipe.full) throw new KernelError('EAGAIN')
    let done = 0
    while (done < length && !pipe.full) {
      const at = address + done
      const count = Math.min(length - done, PAGE_SIZE - (at % PAGE_SIZE))
      let pfn: Pfn
      try {
        pfn = (yield* process.pin(at, false)).pfn
      } catch (error) {
        if (error instanceof KernelError && done > 0) break
        throw error
      }
      // The fault may have waited, and others have filled the pipe.
      if (pipe.full) {
        process.host.buddy.put(pfn)
        break
      }
      pipe.push(pfn, at % PAGE_SIZE, count)
      done += count
    }
    if (done === 0) throw new KernelError('EAGAIN')
    return done
  } finally {
    yield* file.put()
  }
}

/** vmsplice_to_user. */
function* copyOut(process: Process, end: PipeEnd, address: number, length: number): KernelTask<number> {
  let done = 0
  while (done < length) {
    const bytes = end.pipe.peek(length - done).slice()
    if (bytes.length === 0) break
    if (!end.pipe.reachable) {
      if (done === 0) throw new KernelError('EFAULT')
      break
    }
    const stored = yield* process.store(hva(address + done), bytes)
    if (!stored.ok) {
      if (done === 0) throw new KernelError('EFAULT')
      break
    }
    done += end.pipe.consume(bytes.length)
  }
  return done > 0 ? done : end.read(length)
}

/** Every page reference that pipes hold, one each. */
export function* pinnedPages(host: Host): Iterable<Pfn> {
  for (const pipe of host.pipes) yield* pipe.pages()
}
