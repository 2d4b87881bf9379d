// The built-in VMM: a user program on the emulated host that makes one VM and loads a guest into it.
//
// It speaks only system calls. Private memory: a software-protected VM; shared memory: a default VM. What RAM is made
// of follows from what the host can do (memory-model.ts).

import { PAGE_SIZE } from '../base/units.ts'
import { DOORBELL_BASE } from '../devices/memory-map.ts'
import { TIMEBASE_HZ } from '../engine/vcpu-block.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import { OneReg } from '../kvm/one-reg.ts'
import type { KvmSystem } from '../kvm/system.ts'
import { Cap, KVM_HC_MAP_GPA_RANGE, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm } from '../kvm/uapi.ts'
import { enableCapRequest } from '../kvm/uapi-structs.ts'
import type { KvmVcpu } from '../kvm/vcpu.ts'
import { VcpuFile } from '../kvm/vcpu-file.ts'
import { VmFile } from '../kvm/vm-file.ts'
import { Asker } from '../trace/events.ts'
import type { Conversion, GuestMemory } from './guest-memory.ts'
import { chooseMemory } from './memory-model.ts'
import { Pins } from './pins.ts'
import type { GuestPlacement } from './placement.ts'
import { must } from './vmm-error.ts'

/** VM types of the machine's host profile. */
const VM_TYPE_DEFAULT = 0
const VM_TYPE_SW_PROTECTED = 1

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

export class Vmm {
  readonly syscalls: Syscalls
  readonly process: Process
  readonly options: VmmOptions
  /** Guest pages that the VMM holds on to. */
  readonly pins: Pins
  readonly #system: KvmSystem
  #memory: GuestMemory | null = null
  vmFd = -1
  vcpus: readonly VmmVcpu[] = []
  /** Conversions the guest asked for that its vCPU has not completed yet: byte ranges. */
  readonly converting = new Set<{ readonly start: number; readonly end: number }>()
  /** Counts what may have cured a fault that a vCPU waits for: a conversion, a punch, an unpin, memory given back. */
  remedies = 0

  constructor(process: Process, system: KvmSystem, options: VmmOptions) {
    this.process = process
    this.syscalls = new Syscalls(process)
    this.pins = new Pins(this.syscalls)
    this.#system = system
    this.options = options
  }

  /** The VM object behind the descriptor, for inspection. */
  get vm(): VmFile['vm'] {
    const file = this.process.fds.get(this.vmFd)
    if (!(file instanceof VmFile)) throw new Error('the VM descriptor is closed')
    return file.vm
  }

  get memory(): GuestMemory {
    if (!this.#memory) throw new Error('the VMM is not set up')
    return this.#memory
  }

  /** Creates VM, memory and vCPUs, and loads the guest. Throws VmmError. */
  *setUp(placement: GuestPlacement): KernelTask<void> {
    const { ramBytes } = this.options
    const kvm = this.#system.open(this.process)
    const type = this.options.private ? VM_TYPE_SW_PROTECTED : VM_TYPE_DEFAULT
    this.vmFd = yield* must('KVM_CREATE_VM', this.syscalls.ioctl(kvm, Kvm.CREATE_VM, type))
    const traced = (gpa: number, size: number, toPrivate: boolean, conversion: KernelTask<Conversion>) =>
      this.traced(Asker.vmm, gpa, size, toPrivate, conversion)
    const owner = { syscalls: this.syscalls, vmFd: this.vmFd, ramBytes, traced }
    this.#memory = yield* chooseMemory(owner, this.options.private)
    yield* this.#memory.setUp(placement.segments)
    if (this.options.private) {
      yield* this.#enableHypercalls()
      const doorbell = enableCapRequest(Cap.GMEM_DOORBELL, DOORBELL_BASE)
      yield* must('KVM_ENABLE_CAP', this.syscalls.ioctl(this.vmFd, Kvm.ENABLE_CAP, doorbell))
    }
    const vcpus: VmmVcpu[] = []
    for (let id = 0; id < this.options.vcpus; id++) vcpus.push(yield* this.#createVcpu(id))
    this.vcpus = vcpus
    const boot = vcpus[0].vcpu.oneReg
    boot.set(OneReg.PC, BigInt(placement.entry))
    boot.set(OneReg.x(10), 0n)
    boot.set(OneReg.x(11), BigInt(placement.deviceTree))
  }

  /** True while a conversion of that page is under way: what the guest declares and what KVM has differ meanwhile. */
  isConverting(gpa: number): boolean {
    for (const { start, end } of this.converting) if (gpa >= start && gpa < end) return true
    return false
  }

  /** One attempt to convert, recorded as asked for by `asker` (Asker). */
  convert(asker: number, gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion> {
    return this.traced(asker, gpa, size, toPrivate, this.memory.convert(gpa, size, toPrivate))
  }

  /** Runs a conversion and records who asked (Asker) and how long it took, whatever came of it. */
  *traced(
    asker: number,
    gpa: number,
    size: number,
    toPrivate: boolean,
    conversion: KernelTask<Conversion>,
  ): KernelTask<Conversion> {
    const started = this.options.now()
    const done = yield* conversion
    const ns = (this.options.now() - started) * (1e9 / TIMEBASE_HZ)
    const to = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
    this.process.host.trace('gmemscope_convert_done', start, end, to, asker, ns, Math.max(0, -done.result))
    if (done.result === 0) this.remedies++
    return done
  }

  /** The guest may ask for conversions by KVM's own hypercall, too. */
  *#enableHypercalls(): KernelTask<void> {
    const hypercalls = yield* this.syscalls.ioctl(this.vmFd, Kvm.CHECK_EXTENSION, Cap.EXIT_HYPERCALL)
    const wanted = hypercalls & (1 << KVM_HC_MAP_GPA_RANGE)
    const request = enableCapRequest(Cap.EXIT_HYPERCALL, wanted)
    yield* must('KVM_ENABLE_CAP', this.syscalls.ioctl(this.vmFd, Kvm.ENABLE_CAP, request))
  }

  *#createVcpu(id: number): KernelTask<VmmVcpu> {
    const fd = yield* must('KVM_CREATE_VCPU', this.syscalls.ioctl(this.vmFd, Kvm.CREATE_VCPU, id))
    const file = this.process.fds.get(fd)
    if (!(file instanceof VcpuFile)) throw new Error('KVM_CREATE_VCPU made something else')
    const { vcpu } = file
    vcpu.oneReg.set(OneReg.TIME, 0n)
    vcpu.oneReg.set(OneReg.SBI_DBCN, 1n)
    if (this.options.private) vcpu.oneReg.set(OneReg.SBI_COVG, 1n)
    return { fd, vcpu }
  }
}
