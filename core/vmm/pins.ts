// Guest pages that the VMM holds on to, as device emulation does while a transfer is under way: each is spliced into
// a pipe of its own (vmsplice), which refers to the frame until it is read empty.

import { Errno } from '../base/errno.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { OpenFlag } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Syscalls } from '../host/syscalls.ts'

interface PipeEnds {
  readonly read: number
  readonly write: number
}

export class Pins {
  readonly #syscalls: Syscalls
  /** By guest physical address of the page; a pipe for each time it is held. */
  readonly #pipes = new Map<number, PipeEnds[]>()

  constructor(syscalls: Syscalls) {
    this.#syscalls = syscalls
  }

  /** The pages held (GPA). */
  get pages(): number[] {
    return [...this.#pipes.keys()]
  }

  /**
   * Holds the page that the VMM sees at `address`; once more when it is held already. Returns 0 or -errno: EFAULT when
   * an access would fault, EMFILE.
   */
  *pin(page: number, address: number): KernelTask<number> {
    const ends = this.#syscalls.pipe2(OpenFlag.CLOEXEC | OpenFlag.NONBLOCK)
    if (typeof ends === 'number') return ends
    const pipe = { read: ends[0], write: ends[1] }
    const spliced = yield* this.#syscalls.vmsplice(pipe.write, address, PAGE_SIZE, 0)
    if (spliced < 0) {
      yield* this.#close(pipe)
      return spliced
    }
    // Looked up only now: another pin of the page may have come meanwhile.
    const held = this.#pipes.get(page)
    if (held) held.push(pipe)
    else this.#pipes.set(page, [pipe])
    return 0
  }

  /** Lets go of a page, however often it is held. Returns 0, or -ENOENT. */
  *unpin(page: number): KernelTask<number> {
    const held = this.#pipes.get(page)
    if (!held) return -Errno.ENOENT
    this.#pipes.delete(page)
    for (const pipe of held) {
      this.#syscalls.read(pipe.read, PAGE_SIZE)
      yield* this.#close(pipe)
    }
    return 0
  }

  *#close({ read, write }: PipeEnds): KernelTask<void> {
    yield* this.#syscalls.close(read)
    yield* this.#syscalls.close(write)
  }
}
