// Private memory as Linux has it today: a guest_memfd the host cannot map, and anonymous memory for shared pages.
//
// The VM's attributes say which of the two a page is; converting changes the backing and with it the contents.

import { Errno } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Advice } from '../host/madvise.ts'
import { MapFlag } from '../host/mmap.ts'
import { Prot } from '../host/vma.ts'
import { gmemPopulate, Kvm } from '../kvm/uapi.ts'
import type { Segment } from './elf.ts'
import { GuestMemory } from './guest-memory.ts'
import type { Conversion } from './guest-ram.ts'
import { must, VmmError } from './vmm-error.ts'

/** Bytes copied into private memory by one populate call. */
const STAGING_BYTES = 0x100000

export class TwoBackings extends GuestMemory {
  override *setUp(segments: readonly Segment[]): KernelTask<void> {
    yield* this.createFile(0)
    yield* this.mapAnonymous()
    yield* this.createSlot()
    yield* this.makePrivate('KVM_SET_MEMORY_ATTRIBUTES')
    for (const segment of segments) yield* this.#populate(segment)
  }

  override convert(gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion> {
    return this.setVmAttributes(gpa, size, toPrivate)
  }

  /** The half that lost the pages is freed: the hole in the file, or the anonymous pages. */
  override *discard(gpa: number, size: number, toPrivate: boolean): KernelTask<void> {
    const { syscalls } = this.owner
    yield* toPrivate ? syscalls.madvise(this.hvaOf(gpa), size, Advice.DONTNEED) : this.punch(gpa, size)
  }

  /** Private pages lie in the file, shared ones in anonymous memory. */
  override *reclaim(gpa: number, size: number): KernelTask<number> {
    const result = yield* this.punch(gpa, size)
    if (result < 0) return result
    return yield* this.owner.syscalls.madvise(this.hvaOf(gpa), size, Advice.DONTNEED)
  }

  /** A shared page that had a memory error is none of the file's: to get another frame it is dropped from memory. */
  protected override *forgetErrors(start: number, end: number): KernelTask<void> {
    for (const page of this.failedPages) {
      if (page < start || page >= end) continue
      this.failedPages.delete(page)
      if (!this.isPrivate(page))
        yield* this.owner.syscalls.madvise(this.hvaOf(page), PAGE_SIZE, Advice.DONTNEED)
    }
  }

  /** A private page lies in the file, so the one way to it is to map the file, which the kernel refuses. */
  override *reach<T>(
    gpa: number,
    access: (address: number) => KernelTask<T>,
    refused: (errno: number) => T,
  ): KernelTask<T> {
    if (!this.isPrivate(gpa)) return yield* access(this.hvaOf(gpa))
    const { syscalls } = this.owner
    const page = Math.floor(this.offsetOf(gpa) / PAGE_SIZE) * PAGE_SIZE
    const prot = Prot.READ | Prot.WRITE
    const mapped = yield* syscalls.mmap(PAGE_SIZE, prot, MapFlag.SHARED, this.gmemFd, page)
    if (mapped < 0) return refused(mapped)
    const result = yield* access(mapped + (gpa % PAGE_SIZE))
    yield* syscalls.munmap(mapped, PAGE_SIZE)
    return result
  }

  /** Copies a segment's file bytes into private memory. */
  *#populate(segment: Segment): KernelTask<void> {
    const { syscalls, vmFd } = this.owner
    const staging = yield* must('mmap of a staging buffer', syscalls.mmapAnonymous(STAGING_BYTES))
    const start = Math.floor(segment.gpa / PAGE_SIZE) * PAGE_SIZE
    const end = segment.gpa + segment.data.length
    for (let gpa = start; gpa < end; gpa += STAGING_BYTES) {
      const size = Math.min(STAGING_BYTES, Math.ceil((end - gpa) / PAGE_SIZE) * PAGE_SIZE)
      const chunk = new Uint8Array(size)
      const from = Math.max(gpa, segment.gpa)
      const to = Math.min(gpa + size, end)
      chunk.set(segment.data.subarray(from - segment.gpa, to - segment.gpa), from - gpa)
      const stored = yield* syscalls.store(hva(staging), chunk)
      if (!stored.ok) throw new VmmError('filling the staging buffer', -Errno.ENOMEM)
      const request = gmemPopulate(gpa, size, staging)
      yield* must('KVM_GMEM_POPULATE', syscalls.ioctl(vmFd, Kvm.GMEM_POPULATE, request))
    }
    yield* must('munmap of the staging buffer', syscalls.munmap(staging, STAGING_BYTES))
  }
}
