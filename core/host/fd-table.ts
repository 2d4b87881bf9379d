// A process's descriptor table: lowest free number first, EMFILE at the limit (fs/file.c).

import { KernelError } from '../base/errno.ts'
import { type OpenFile, OpenFlag } from './file.ts'

interface Slot {
  readonly file: OpenFile
  closeOnExec: boolean
}

export class FdTable {
  readonly #slots: (Slot | undefined)[] = []
  /** Numbers it may give out (RLIMIT_NOFILE). */
  readonly limit: number
  /** No free number is below this. */
  #lowest = 0

  constructor(limit = 1024) {
    this.limit = limit
  }

  /** Gives the file the lowest free number; the table takes over the caller's reference. */
  install(file: OpenFile, closeOnExec: boolean): number {
    const fd = this.reserve()
    this.#slots[fd] = { file, closeOnExec }
    return fd
  }

  /** The number `install` would give now. Throws EMFILE, also when there are fewer than `count` left. */
  reserve(count = 1): number {
    let fd = this.#lowest
    while (this.#slots[fd]) fd++
    this.#lowest = fd
    let last = fd
    for (let more = count - 1; more > 0; more--)
      do last++
      while (this.#slots[last])
    if (last >= this.limit) throw new KernelError('EMFILE')
    return fd
  }

  /** Takes over what another table has open, descriptors shared (dup_fd). */
  copyFrom(other: FdTable): void {
    for (const fd of other.open())
      this.#slots[fd] = { file: other.getRaw(fd).get(), closeOnExec: other.closeOnExec(fd) }
  }

  /** fget: any open file except one opened O_PATH; null otherwise. */
  lookup(fd: number): OpenFile | null {
    const file = this.#slots[fd]?.file
    return file && !(file.flags & OpenFlag.PATH) ? file : null
  }

  /** The file, or EBADF. */
  get(fd: number): OpenFile {
    const file = this.lookup(fd)
    if (!file) throw new KernelError('EBADF')
    return file
  }

  /** The file even when opened O_PATH (fdget_raw), or EBADF. */
  getRaw(fd: number): OpenFile {
    const file = this.#slots[fd]?.file
    if (!file) throw new KernelError('EBADF')
    return file
  }

  closeOnExec(fd: number): boolean {
    this.getRaw(fd)
    return this.#slots[fd]?.closeOnExec ?? false
  }

  setCloseOnExec(fd: number, on: boolean): void {
    this.getRaw(fd)
    const slot = this.#slots[fd]
    if (slot) slot.closeOnExec = on
  }

  /** Frees the number; the caller puts the file. Throws EBADF. */
  remove(fd: number): OpenFile {
    const file = this.getRaw(fd)
    this.#slots[fd] = undefined
    this.#lowest = Math.min(this.#lowest, fd)
    return file
  }

  /** Numbers in use, in order. */
  open(): number[] {
    return this.#slots.flatMap((slot, fd) => (slot ? [fd] : []))
  }
}
