// Guest RAM as a VMM keeps it under KVM: one memslot, what backs it, and the VMM's record of what is private.
//
// What backs it differs by host (memory-model.ts chooses): two backings, one file converted in place, or memory
// that is only shared.

import { Errno } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Advice } from '../host/madvise.ts'
import { MapFlag } from '../host/mmap.ts'
import type { Syscalls } from '../host/syscalls.ts'
import { Prot } from '../host/vma.ts'
import {
  createGuestMemfd,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MemFlag,
  memoryAttributes,
  memoryRegion2,
} from '../kvm/uapi.ts'
import type { Segment } from './elf.ts'
import { type Conversion, GuestRam } from './guest-ram.ts'
import { must, VmmError } from './vmm-error.ts'

/** The slot that holds all of RAM. */
const RAM_SLOT = 0

/** The VM that the memory belongs to. */
export interface MemoryOwner {
  readonly syscalls: Syscalls
  readonly vmFd: number
  readonly ramBytes: number
  /** Records a conversion of the set-up: what traces `conversion`. */
  traced(
    gpa: number,
    size: number,
    toPrivate: boolean,
    conversion: KernelTask<Conversion>,
  ): KernelTask<Conversion>
}

export abstract class GuestMemory extends GuestRam {
  protected readonly owner: MemoryOwner
  /** Where RAM begins in the VMM's address space. */
  ramHva = 0
  /** gfns the VMM made private; KVM has no call to ask for attributes, so every VMM keeps its own record. */
  readonly #private = new XArray<true>()

  constructor(owner: MemoryOwner) {
    super(owner.syscalls, owner.ramBytes)
    this.owner = owner
  }

  /** Makes the backing and the slot, loads the guest, and sets the first attributes. Throws VmmError. */
  abstract setUp(segments: readonly Segment[]): KernelTask<void>

  /** Gives back the memory that a conversion left without a use. */
  abstract discard(gpa: number, size: number, toPrivate: boolean): KernelTask<void>

  override reach<T>(
    gpa: number,
    access: (address: number) => KernelTask<T>,
    _refused: (errno: number) => T,
  ): KernelTask<T> {
    return access(this.hvaOf(gpa))
  }

  /** Cures memory errors in what is RAM of the range. */
  override *punch(gpa: number, size: number): KernelTask<number> {
    const result = yield* super.punch(gpa, size)
    // A hole may reach past the end of the file, where something else is mapped.
    const end = Math.min(gpa + size, RAM_BASE + this.ramBytes)
    if (result === 0 && gpa < end) yield* this.forgetErrors(gpa, end)
    return result
  }

  /** Where there is no file the pages are dropped from anonymous memory. */
  override *reclaim(gpa: number, size: number): KernelTask<number> {
    if (this.gmemFd >= 0) return yield* this.punch(gpa, size)
    return yield* this.owner.syscalls.madvise(this.hvaOf(gpa), size, Advice.DONTNEED)
  }

  /** A memory error leaves its mark in the VMM's page table too, which outlives the folio: it is dropped with it. */
  protected *forgetErrors(start: number, end: number): KernelTask<void> {
    yield* this.owner.syscalls.madvise(this.hvaOf(start), end - start, Advice.DONTNEED)
  }

  /** True when the VMM's record says that the page is private. */
  isPrivate(gpa: number): boolean {
    return this.#private.get(Math.floor(gpa / PAGE_SIZE)) === true
  }

  /** Where the VMM sees a guest physical address of RAM in its own address space. */
  hvaOf(gpa: number): number {
    return this.ramHva + (gpa - RAM_BASE)
  }

  protected record(gpa: number, size: number, isPrivate: boolean): void {
    this.#private.store(gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE, isPrivate ? true : undefined)
  }

  /** KVM_SET_MEMORY_ATTRIBUTES on the VM. */
  protected *setVmAttributes(gpa: number, size: number, isPrivate: boolean): KernelTask<Conversion> {
    const attributes = isPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const request = memoryAttributes(gpa, size, attributes)
    const result = yield* this.owner.syscalls.ioctl(this.owner.vmFd, Kvm.SET_MEMORY_ATTRIBUTES, request)
    if (result === 0) this.record(gpa, size, isPrivate)
    return { result }
  }

  protected *createFile(flags: number): KernelTask<void> {
    const { syscalls, vmFd, ramBytes } = this.owner
    const request = createGuestMemfd(ramBytes, flags)
    this.gmemFd = yield* must('KVM_CREATE_GUEST_MEMFD', syscalls.ioctl(vmFd, Kvm.CREATE_GUEST_MEMFD, request))
  }

  protected *mapAnonymous(): KernelTask<void> {
    const { syscalls, ramBytes } = this.owner
    this.ramHva = yield* must('mmap of guest RAM', syscalls.mmapAnonymous(ramBytes))
  }

  protected *mapFile(): KernelTask<void> {
    const { syscalls, ramBytes } = this.owner
    this.ramHva = yield* must(
      'mmap of guest RAM',
      syscalls.mmap(ramBytes, Prot.READ | Prot.WRITE, MapFlag.SHARED, this.gmemFd, 0),
    )
  }

  protected *createSlot(): KernelTask<void> {
    const { syscalls, vmFd, ramBytes } = this.owner
    const region = memoryRegion2({
      slot: RAM_SLOT,
      flags: this.gmemFd < 0 ? 0 : MemFlag.GUEST_MEMFD,
      guestPhysAddr: RAM_BASE,
      memorySize: ramBytes,
      userspaceAddr: this.ramHva,
      guestMemfdOffset: 0,
      guestMemfd: Math.max(0, this.gmemFd),
    })
    yield* must('KVM_SET_USER_MEMORY_REGION2', syscalls.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION2, region))
  }

  /** All of RAM becomes private. */
  protected *makePrivate(call: string): KernelTask<void> {
    const { ramBytes } = this.owner
    const conversion = this.convert(RAM_BASE, ramBytes, true)
    const { result } = yield* this.owner.traced(RAM_BASE, ramBytes, true, conversion)
    if (result < 0) throw new VmmError(call, result)
  }

  /** Loads the guest through the mapping. What follows a segment's file bytes is zero in fresh memory anyway. */
  protected *loadMapped(segments: readonly Segment[]): KernelTask<void> {
    for (const { gpa, data } of segments) {
      const stored = yield* this.owner.syscalls.store(hva(this.hvaOf(gpa)), data)
      if (!stored.ok) throw new VmmError('loading the guest into memory', -Errno.ENOMEM)
    }
  }
}
