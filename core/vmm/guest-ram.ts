// Guest RAM as a VMM holds it, whichever hypervisor it is for: what backs it, and the VMM's ways to it.

import { RAM_BASE } from '../devices/memory-map.ts'
import { Falloc } from '../host/fallocate.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Syscalls } from '../host/syscalls.ts'

/** What became of a conversion. */
export interface Conversion {
  /** 0, or -errno: then nothing changed. */
  readonly result: number
  /** The first page that could not be converted, where the kernel says (error_offset). */
  readonly gpa?: number
}

export abstract class GuestRam {
  protected readonly syscalls: Syscalls
  /** Bytes, from RAM_BASE. */
  protected readonly ramBytes: number
  /** The guest memory file behind RAM; -1: none. */
  gmemFd = -1
  /** Pages (GPA) at which a run failed for a memory error, until they were punched. */
  readonly failedPages = new Set<number>()

  constructor(syscalls: Syscalls, ramBytes: number) {
    this.syscalls = syscalls
    this.ramBytes = ramBytes
  }

  /** One attempt to make [gpa, gpa + size) private or shared. */
  abstract convert(gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion>

  /**
   * Runs `access` at the address where the VMM sees what the guest has at `gpa`. The VMM may have no way there: then
   * the result is `refused` of the errno (negative) that says so.
   */
  abstract reach<T>(
    gpa: number,
    access: (address: number) => KernelTask<T>,
    refused: (errno: number) => T,
  ): KernelTask<T>

  /** fallocate(PUNCH_HOLE) on the file: 0 or -errno (EBADF without a file). */
  punch(gpa: number, size: number): KernelTask<number> {
    const mode = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
    return this.syscalls.fallocate(this.gmemFd, mode, this.offsetOf(gpa), size)
  }

  /**
   * Gives the host back the pages of [gpa, gpa + size), whose contents the guest does not need. The next touch finds
   * zeroes. Returns 0 or -errno.
   */
  reclaim(gpa: number, size: number): KernelTask<number> {
    return this.punch(gpa, size)
  }

  /** Byte offset in the guest memory file of a guest physical address of RAM. */
  offsetOf(gpa: number): number {
    return gpa - RAM_BASE
  }

  /** True when [gpa, gpa + size) is RAM. */
  contains(gpa: number, size: number): boolean {
    const offset = this.offsetOf(gpa)
    return offset >= 0 && offset + size <= this.ramBytes
  }
}
