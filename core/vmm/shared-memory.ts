// RAM that is only shared: a guest_memfd that the VMM maps, or, where the host has no such files, plain memory.

import { GmemFlag } from '../gmem/inode.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Segment } from './elf.ts'
import { GuestMemory, type MemoryOwner } from './guest-memory.ts'
import type { Conversion } from './guest-ram.ts'

export class SharedMemory extends GuestMemory {
  readonly #fromFile: boolean

  /** `fromFile`: the host's guest_memfd can be mapped and start shared. */
  constructor(owner: MemoryOwner, fromFile: boolean) {
    super(owner)
    this.#fromFile = fromFile
  }

  override *setUp(segments: readonly Segment[]): KernelTask<void> {
    if (this.#fromFile) {
      yield* this.createFile(GmemFlag.MMAP | GmemFlag.INIT_SHARED)
      yield* this.mapFile()
    } else yield* this.mapAnonymous()
    yield* this.createSlot()
    yield* this.loadMapped(segments)
  }

  /** Nothing here can be private: KVM refuses. */
  override convert(gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion> {
    return this.setVmAttributes(gpa, size, toPrivate)
  }

  /** There is one backing. */
  override *discard(): KernelTask<void> {}
}
