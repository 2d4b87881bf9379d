// Guest RAM under Gunyah: one guest memory file, which the VMM maps only while it needs to.
//
// A page that any process of the host has mapped cannot be lent, so every look at guest memory maps, accesses and
// unmaps; and mapping a page that is lent asks the hypervisor for it first.

import { Errno } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import { createMemArgs, Gunyah, MemFlag, mapMemArgs } from '../gunyah/uapi.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import type { Syscalls } from '../host/syscalls.ts'
import { Prot } from '../host/vma.ts'
import type { Segment } from './elf.ts'
import { type Conversion, GuestRam } from './guest-ram.ts'
import { must, VmmError } from './vmm-error.ts'

const RWX = MemFlag.READ | MemFlag.WRITE | MemFlag.EXEC
const RW = MemFlag.READ | MemFlag.WRITE

export class GunyahRam extends GuestRam {
  readonly #vmFd: number
  readonly #device: number

  /** `device`: the descriptor of /dev/gunyah. */
  constructor(syscalls: Syscalls, ramBytes: number, vmFd: number, device: number) {
    super(syscalls, ramBytes)
    this.#vmFd = vmFd
    this.#device = device
  }

  /**
   * Makes the file, loads the guest into it, and binds it: lent, or shared from `lentBytes` on. What is shared cannot
   * be executed, so the image is always lent.
   */
  *setUp(segments: readonly Segment[], lentBytes: number): KernelTask<void> {
    const request = createMemArgs(this.ramBytes)
    const created = this.syscalls.ioctl(this.#device, Gunyah.CREATE_GUEST_MEM, request)
    this.gmemFd = yield* must('GUNYAH_CREATE_GUEST_MEM', created)
    yield* this.#load(segments)
    yield* this.#bind(0, lentBytes, RWX)
    if (lentBytes < this.ramBytes)
      yield* this.#bind(lentBytes, this.ramBytes - lentBytes, RW | MemFlag.FORCE_SHARE)
  }

  /** The posted series has no call that converts a part of a binding: only the guest can ask. */
  // biome-ignore lint/correctness/useYield: there is nothing to ask
  override *convert(): KernelTask<Conversion> {
    return { result: -Errno.EOPNOTSUPP }
  }

  override *reach<T>(
    gpa: number,
    access: (address: number) => KernelTask<T>,
    refused: (errno: number) => T,
  ): KernelTask<T> {
    const page = Math.floor(this.offsetOf(gpa) / PAGE_SIZE) * PAGE_SIZE
    const mapped = yield* this.#map(page, PAGE_SIZE)
    if (mapped < 0) return refused(mapped)
    const result = yield* access(mapped + (gpa % PAGE_SIZE))
    yield* this.syscalls.munmap(mapped, PAGE_SIZE)
    return result
  }

  #map(offset: number, size: number): KernelTask<number> {
    return this.syscalls.mmap(size, Prot.READ | Prot.WRITE, MapFlag.SHARED, this.gmemFd, offset)
  }

  *#load(segments: readonly Segment[]): KernelTask<void> {
    const mapped = yield* must('mmap of guest RAM', this.#map(0, this.ramBytes))
    for (const { gpa, data } of segments) {
      const stored = yield* this.syscalls.store(hva(mapped + this.offsetOf(gpa)), data)
      if (!stored.ok) throw new VmmError('loading the guest into memory', -Errno.ENOMEM)
    }
    yield* must('munmap of guest RAM', this.syscalls.munmap(mapped, this.ramBytes))
  }

  *#bind(offset: number, size: number, flags: number): KernelTask<void> {
    const request = mapMemArgs({ guestAddr: RAM_BASE + offset, flags, fd: this.gmemFd, offset, size })
    yield* must('GUNYAH_VM_MAP_MEM', this.syscalls.ioctl(this.#vmFd, Gunyah.VM_MAP_MEM, request))
  }
}
