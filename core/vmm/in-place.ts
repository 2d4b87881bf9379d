// Private memory converted in place: one guest_memfd for private and shared pages, mapped by the VMM.
//
// The file's own attributes decide who may touch a page (KVM_SET_MEMORY_ATTRIBUTES2). The guest is loaded through
// the mapping while everything is shared, then the whole file becomes private. Converting keeps the contents, so
// nothing is punched or discarded.

import { Errno } from '../base/errno.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import { GmemFlag } from '../gmem/inode.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, memoryAttributes2, readErrorOffset } from '../kvm/uapi.ts'
import type { Segment } from './elf.ts'
import { GuestMemory } from './guest-memory.ts'
import type { Conversion } from './guest-ram.ts'

/** Errors that come with an error_offset. */
const LATE_ERRORS = new Set<number>([-Errno.EAGAIN, -Errno.ENOMEM])

export class InPlace extends GuestMemory {
  override *setUp(segments: readonly Segment[]): KernelTask<void> {
    yield* this.createFile(GmemFlag.MMAP | GmemFlag.INIT_SHARED)
    yield* this.mapFile()
    yield* this.loadMapped(segments)
    yield* this.makePrivate('KVM_SET_MEMORY_ATTRIBUTES2')
    yield* this.createSlot()
  }

  /** EAGAIN: somebody still holds the page named. */
  override *convert(gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion> {
    const attributes = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const request = memoryAttributes2(this.offsetOf(gpa), size, attributes)
    const result = yield* this.owner.syscalls.ioctl(this.gmemFd, Kvm.SET_MEMORY_ATTRIBUTES2, request)
    if (result === 0) this.record(gpa, size, toPrivate)
    return LATE_ERRORS.has(result)
      ? { result, gpa: RAM_BASE + readErrorOffset(new DataView(request.buffer)) }
      : { result }
  }

  /** There is one backing, and its contents stay. */
  override *discard(): KernelTask<void> {}
}
