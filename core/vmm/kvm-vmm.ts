// The built-in VMM under KVM. Private memory: a software-protected VM; shared memory: a default VM.
//
// What RAM is made of follows from what the host can do (memory-model.ts).

import { DOORBELL_BASE } from '../devices/memory-map.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { checkInvariants } from '../kvm/invariants.ts'
import { OneReg } from '../kvm/one-reg.ts'
import type { KvmSystem } from '../kvm/system.ts'
import { Cap, KVM_HC_MAP_GPA_RANGE, Kvm } from '../kvm/uapi.ts'
import { enableCapRequest } from '../kvm/uapi-structs.ts'
import type { KvmVcpu } from '../kvm/vcpu.ts'
import { VcpuFile } from '../kvm/vcpu-file.ts'
import { VmFile } from '../kvm/vm-file.ts'
import { Asker } from '../trace/events.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { GuestPage } from './guest-page.ts'
import type { Conversion } from './guest-ram.ts'
import { kvmGuestPage } from './kvm-guest-page.ts'
import { chooseMemory } from './memory-model.ts'
import type { GuestPlacement } from './placement.ts'
import type { VcpuLoopHooks } from './vcpu-hooks.ts'
import { VcpuLoop } from './vcpu-loop.ts'
import { type VcpuRunner, Vmm, type VmmOptions } from './vmm.ts'
import { must } from './vmm-error.ts'

/** VM types of the machine's host profile. */
const VM_TYPE_DEFAULT = 0
const VM_TYPE_SW_PROTECTED = 1

/** A vCPU as the VMM holds it. */
export interface KvmVmmVcpu {
  readonly fd: number
  readonly vcpu: KvmVcpu
}

export class KvmVmm extends Vmm {
  readonly #system: KvmSystem
  #memory: GuestMemory | null = null
  vmFd = -1
  override vcpus: readonly KvmVmmVcpu[] = []

  constructor(process: Process, system: KvmSystem, options: VmmOptions) {
    super(process, options)
    this.#system = system
  }

  /** The VM object behind the descriptor, for inspection. */
  get vm(): VmFile['vm'] {
    const file = this.process.fds.get(this.vmFd)
    if (!(file instanceof VmFile)) throw new Error('the VM descriptor is closed')
    return file.vm
  }

  override get memory(): GuestMemory {
    if (!this.#memory) throw new Error('the VMM is not set up')
    return this.#memory
  }

  override get row(): number {
    return this.vm.row
  }

  override runner(vcpu: number, hooks: VcpuLoopHooks): VcpuRunner {
    return new VcpuLoop(this, this.vcpus[vcpu], hooks)
  }

  override page(gfn: number): GuestPage {
    return kvmGuestPage(this.vm, this.process, gfn)
  }

  override violations(): string[] {
    return checkInvariants({ host: this.process.host, vms: [this.vm] })
  }

  override *setUp(placement: GuestPlacement): KernelTask<void> {
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
    const vcpus: KvmVmmVcpu[] = []
    for (let id = 0; id < this.options.vcpus; id++) vcpus.push(yield* this.#createVcpu(id))
    this.vcpus = vcpus
    const boot = vcpus[0].vcpu.oneReg
    boot.set(OneReg.PC, BigInt(placement.entry))
    boot.set(OneReg.x(10), 0n)
    boot.set(OneReg.x(11), BigInt(placement.deviceTree))
  }

  /** The guest may ask for conversions by KVM's own hypercall, too. */
  *#enableHypercalls(): KernelTask<void> {
    const hypercalls = yield* this.syscalls.ioctl(this.vmFd, Kvm.CHECK_EXTENSION, Cap.EXIT_HYPERCALL)
    const wanted = hypercalls & (1 << KVM_HC_MAP_GPA_RANGE)
    const request = enableCapRequest(Cap.EXIT_HYPERCALL, wanted)
    yield* must('KVM_ENABLE_CAP', this.syscalls.ioctl(this.vmFd, Kvm.ENABLE_CAP, request))
  }

  *#createVcpu(id: number): KernelTask<KvmVmmVcpu> {
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
