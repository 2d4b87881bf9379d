// The built-in VMM: a user program on the emulated host that makes one VM and loads a guest into it.
//
// It speaks only system calls. Private model: a software-protected VM whose RAM is one slot with two halves,
// private in a guest_memfd and shared in anonymous memory. Shared model: a default VM whose RAM is one
// guest_memfd that the VMM maps.

import { Errno, errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import { TIMEBASE_HZ } from '../engine/vcpu-block.ts'
import { GmemFlag } from '../gmem/inode.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import type { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import { Prot } from '../host/vma.ts'
import { OneReg } from '../kvm/one-reg.ts'
import type { KvmSystem } from '../kvm/system.ts'
import {
  createGuestMemfd,
  gmemPopulate,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MemFlag,
  memoryAttributes,
  memoryRegion2,
} from '../kvm/uapi.ts'
import type { KvmVcpu } from '../kvm/vcpu.ts'
import { VcpuFile } from '../kvm/vcpu-file.ts'
import { VmFile } from '../kvm/vm-file.ts'
import { Asker } from '../trace/events.ts'
import type { Segment } from './elf.ts'
import type { GuestPlacement } from './placement.ts'

/** VM types of the machine's host profile. */
const VM_TYPE_DEFAULT = 0
const VM_TYPE_SW_PROTECTED = 1

/** The slot that holds all of RAM. */
export const RAM_SLOT = 0
/** Bytes copied into private memory by one populate call. */
const STAGING_BYTES = 0x100000

export interface VmmOptions {
  readonly ramBytes: number
  readonly vcpus: number
  readonly private: boolean
  /** The machine's clock in ticks. */
  now(): number
}

/** A vCPU as the VMM holds it. */
export interface VmmVcpu {
  readonly fd: number
  readonly vcpu: KvmVcpu
}

/** A system call of the VMM's own set-up failed. */
export class VmmError extends Error {
  constructor(call: string, errno: number) {
    const name = errnoName(-errno)
    const remedy =
      name === 'ENOMEM' ? ': the emulated host is out of memory; give it more, or the guest less' : ''
    super(`${call} failed with ${name}${remedy}`)
  }
}

export class Vmm {
  readonly syscalls: Syscalls
  readonly process: Process
  readonly options: VmmOptions
  readonly #system: KvmSystem
  vmFd = -1
  gmemFd = -1
  /** Where RAM begins in the VMM's address space: the shared half, or the mapped file. */
  ramHva = 0
  vcpus: readonly VmmVcpu[] = []
  /** Conversions the guest asked for that its vCPU has not completed yet: byte ranges. */
  readonly converting = new Set<{ readonly start: number; readonly end: number }>()
  /** gfns the VMM made private; KVM has no call to ask for attributes, so every VMM keeps its own record. */
  readonly #private = new XArray<true>()

  constructor(process: Process, system: KvmSystem, options: VmmOptions) {
    this.process = process
    this.syscalls = new Syscalls(process)
    this.#system = system
    this.options = options
  }

  /** The VM object behind the descriptor, for inspection. */
  get vm(): VmFile['vm'] {
    const file = this.process.fds.get(this.vmFd)
    if (!(file instanceof VmFile)) throw new Error('the VM descriptor is closed')
    return file.vm
  }

  /** Creates VM, memory and vCPUs, and loads the guest. Throws VmmError. */
  *setUp(placement: GuestPlacement): KernelTask<void> {
    const kvm = this.#system.open(this.process)
    const type = this.options.private ? VM_TYPE_SW_PROTECTED : VM_TYPE_DEFAULT
    this.vmFd = yield* this.#must('KVM_CREATE_VM', this.syscalls.ioctl(kvm, Kvm.CREATE_VM, type))
    yield* this.#createRam()
    for (const segment of placement.segments) yield* this.#load(segment)
    const vcpus: VmmVcpu[] = []
    for (let id = 0; id < this.options.vcpus; id++) vcpus.push(yield* this.#createVcpu(id))
    this.vcpus = vcpus
    const boot = vcpus[0].vcpu.oneReg
    boot.set(OneReg.PC, BigInt(placement.entry))
    boot.set(OneReg.x(10), 0n)
    boot.set(OneReg.x(11), BigInt(placement.deviceTree))
  }

  /** True when the VMM's record says that the page is private. */
  isPrivate(gpa: number): boolean {
    return this.#private.get(Math.floor(gpa / PAGE_SIZE)) === true
  }

  /** True while a conversion of that page is under way: what the guest declares and what KVM has differ meanwhile. */
  isConverting(gpa: number): boolean {
    for (const { start, end } of this.converting) if (gpa >= start && gpa < end) return true
    return false
  }

  /** Where the VMM sees a guest physical address of RAM in its own address space. */
  hvaOf(gpa: number): number {
    return this.ramHva + (gpa - RAM_BASE)
  }

  /** Byte offset in the guest_memfd of a guest physical address of RAM. */
  offsetOf(gpa: number): number {
    return gpa - RAM_BASE
  }

  /** KVM_SET_MEMORY_ATTRIBUTES, and the VMM's own record of it. Returns 0 or -errno. */
  *setPrivate(gpa: number, size: number, isPrivate: boolean): KernelTask<number> {
    const attributes = isPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const result = yield* this.syscalls.ioctl(
      this.vmFd,
      Kvm.SET_MEMORY_ATTRIBUTES,
      memoryAttributes(gpa, size, attributes),
    )
    if (result === 0)
      this.#private.store(gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE, isPrivate ? true : undefined)
    return result
  }

  /** Runs a conversion and records who asked (Asker) and how long it took, whatever came of it. */
  *traced(
    asker: number,
    gpa: number,
    size: number,
    toPrivate: boolean,
    conversion: KernelTask<number>,
  ): KernelTask<number> {
    const started = this.options.now()
    const result = yield* conversion
    const ns = (this.options.now() - started) * (1e9 / TIMEBASE_HZ)
    const to = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
    this.process.host.trace('gmemscope_convert_done', start, end, to, asker, ns, Math.max(0, -result))
    return result
  }

  *#createRam(): KernelTask<void> {
    const { ramBytes } = this.options
    const flags = this.options.private ? 0 : GmemFlag.MMAP | GmemFlag.INIT_SHARED
    this.gmemFd = yield* this.#must(
      'KVM_CREATE_GUEST_MEMFD',
      this.syscalls.ioctl(this.vmFd, Kvm.CREATE_GUEST_MEMFD, createGuestMemfd(ramBytes, flags)),
    )
    this.ramHva = yield* this.#must(
      'mmap of guest RAM',
      this.options.private
        ? this.syscalls.mmapAnonymous(ramBytes)
        : this.syscalls.mmap(ramBytes, Prot.READ | Prot.WRITE, MapFlag.SHARED, this.gmemFd, 0),
    )
    const region = memoryRegion2({
      slot: RAM_SLOT,
      flags: MemFlag.GUEST_MEMFD,
      guestPhysAddr: RAM_BASE,
      memorySize: ramBytes,
      userspaceAddr: this.ramHva,
      guestMemfdOffset: 0,
      guestMemfd: this.gmemFd,
    })
    yield* this.#must(
      'KVM_SET_USER_MEMORY_REGION2',
      this.syscalls.ioctl(this.vmFd, Kvm.SET_USER_MEMORY_REGION2, region),
    )
    if (this.options.private)
      yield* this.#must(
        'KVM_SET_MEMORY_ATTRIBUTES',
        this.traced(Asker.vmm, RAM_BASE, ramBytes, true, this.setPrivate(RAM_BASE, ramBytes, true)),
      )
  }

  /** Only a segment's file bytes are copied: what follows them is zero in fresh memory anyway. */
  *#load(segment: Segment): KernelTask<void> {
    if (!this.options.private) {
      const stored = yield* this.syscalls.store(hva(this.hvaOf(segment.gpa)), segment.data)
      if (!stored.ok) throw new VmmError('loading the guest into shared memory', -Errno.ENOMEM)
      return
    }
    const staging = yield* this.#must('mmap of a staging buffer', this.syscalls.mmapAnonymous(STAGING_BYTES))
    const start = Math.floor(segment.gpa / PAGE_SIZE) * PAGE_SIZE
    const end = segment.gpa + segment.data.length
    for (let gpa = start; gpa < end; gpa += STAGING_BYTES) {
      const size = Math.min(STAGING_BYTES, Math.ceil((end - gpa) / PAGE_SIZE) * PAGE_SIZE)
      const chunk = new Uint8Array(size)
      const from = Math.max(gpa, segment.gpa)
      const to = Math.min(gpa + size, end)
      chunk.set(segment.data.subarray(from - segment.gpa, to - segment.gpa), from - gpa)
      const stored = yield* this.syscalls.store(hva(staging), chunk)
      if (!stored.ok) throw new VmmError('filling the staging buffer', -Errno.ENOMEM)
      yield* this.#must(
        'KVM_GMEM_POPULATE',
        this.syscalls.ioctl(this.vmFd, Kvm.GMEM_POPULATE, gmemPopulate(gpa, size, staging)),
      )
    }
    yield* this.#must('munmap of the staging buffer', this.syscalls.munmap(staging, STAGING_BYTES))
  }

  *#createVcpu(id: number): KernelTask<VmmVcpu> {
    const fd = yield* this.#must('KVM_CREATE_VCPU', this.syscalls.ioctl(this.vmFd, Kvm.CREATE_VCPU, id))
    const file = this.process.fds.get(fd)
    if (!(file instanceof VcpuFile)) throw new Error('KVM_CREATE_VCPU made something else')
    const { vcpu } = file
    vcpu.oneReg.set(OneReg.TIME, 0n)
    vcpu.oneReg.set(OneReg.SBI_DBCN, 1n)
    if (this.options.private) vcpu.oneReg.set(OneReg.SBI_COVG, 1n)
    return { fd, vcpu }
  }

  *#must(call: string, task: KernelTask<number>): KernelTask<number> {
    const value = yield* task
    if (value < 0) throw new VmmError(call, value)
    return value
  }
}
