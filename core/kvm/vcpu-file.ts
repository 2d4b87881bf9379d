// The vCPU descriptor and its ioctls (kvm_vcpu_ioctl, v7.2), and who makes vCPUs for KVM_CREATE_VCPU.

import { Errno, KernelError } from '../base/errno.ts'
import { readU64 } from '../base/u64.ts'
import { hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { MpState } from '../hart/mp-state.ts'
import { flushRemoteTlbs } from '../hart/requests.ts'
import { AnonInodeFile, type OpenFile, VM_FAULT_SIGBUS } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { copyFromUser, copyToUser, type UserArgument } from '../host/user-argument.ts'
import type { Vma } from '../host/vma.ts'
import { preFaultMemory } from './pre-fault.ts'
import { Kvm } from './uapi.ts'
import { layouts } from './uapi-layouts.ts'
import { PRE_FAULT_SIZE, readPreFault, writePreFault } from './uapi-structs.ts'
import { KvmVcpu } from './vcpu.ts'
import type { KvmHooks, Vm } from './vm.ts'

const SEIP = 1 << 9
const INTERRUPT_SET = 0xffffffff
const INTERRUPT_UNSET = 0xfffffffe

export class VcpuFile extends AnonInodeFile {
  readonly vcpu: KvmVcpu

  constructor(vcpu: KvmVcpu) {
    super(`kvm-vcpu:${vcpu.id}`)
    this.vcpu = vcpu
    vcpu.vm.get()
  }

  protected override *release(): KernelTask<void> {
    yield* this.vcpu.vm.put()
  }

  override get mappable(): boolean {
    return true
  }

  override *mmap(_vma: Vma): KernelTask<void> {}

  /** Page 0 is struct kvm_run; nothing lies beyond. */
  // biome-ignore lint/correctness/useYield: the page is always there
  override *fault(_vma: Vma, index: number): KernelTask<Pfn | number> {
    return index === 0 ? this.vcpu.runFrame : VM_FAULT_SIGBUS
  }

  override *ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    const { vcpu } = this
    if (process !== vcpu.vm.process) throw new KernelError('EIO')
    // An asynchronous ioctl: it is for a vCPU that runs, whose mutex is held.
    if (number === Kvm.INTERRUPT) return yield* this.#interrupt(process, argument)
    yield* vcpu.mutex.lock()
    try {
      return yield* this.#exclusive(process, number, argument)
    } finally {
      vcpu.mutex.unlock()
    }
  }

  *#exclusive(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    const { vcpu } = this
    switch (number) {
      case Kvm.RUN:
        if (argument !== 0) throw new KernelError('EINVAL')
        yield* vcpu.ioctlRun()
        return 0
      case Kvm.GET_ONE_REG:
      case Kvm.SET_ONE_REG:
        return yield* this.#oneReg(process, number === Kvm.SET_ONE_REG, argument)
      case Kvm.GET_MP_STATE: {
        const view = yield* copyFromUser(process, argument, 4)
        view.setUint32(0, vcpu.hart.mpState, true)
        yield* copyToUser(process, argument, view)
        return 0
      }
      case Kvm.SET_MP_STATE: {
        const view = yield* copyFromUser(process, argument, 4)
        const state = view.getUint32(0, true)
        if (state === MpState.INIT_RECEIVED && vcpu.vm.mpStateReset) {
          vcpu.hart.reset()
          return 0
        }
        if (state !== MpState.RUNNABLE && state !== MpState.STOPPED) throw new KernelError('EINVAL')
        vcpu.hart.mpState = state
        return 0
      }
      case Kvm.PRE_FAULT_MEMORY:
        if (!vcpu.vm.profile.preFault) throw new KernelError('EINVAL')
        return yield* this.#preFault(process, argument)
      default:
        throw new KernelError('EINVAL')
    }
  }

  *#interrupt(process: Process, argument: UserArgument): KernelTask<number> {
    const view = yield* copyFromUser(process, argument, layouts.kvm_interrupt.size)
    const irq = view.getUint32(0, true)
    if (irq !== INTERRUPT_SET && irq !== INTERRUPT_UNSET) throw new KernelError('EINVAL')
    this.vcpu.words.setPending(SEIP, irq === INTERRUPT_SET)
    return 0
  }

  /** What is left of the range goes back to the caller whatever the result. */
  *#preFault(process: Process, argument: UserArgument): KernelTask<number> {
    const view = yield* copyFromUser(process, argument, PRE_FAULT_SIZE)
    const left = yield* preFaultMemory(this.vcpu, readPreFault(view))
    if (!left.errno) writePreFault(view, left)
    yield* copyToUser(process, argument, view)
    return left.errno ? -Errno[left.errno] : 0
  }

  /** struct kvm_one_reg: the id, and the user address of the 64-bit value. */
  *#oneReg(process: Process, set: boolean, argument: UserArgument): KernelTask<number> {
    const view = yield* copyFromUser(process, argument, layouts.kvm_one_reg.size)
    const id = view.getBigUint64(0, true)
    const address = readU64(view, 8)
    if (set) {
      const value = yield* copyFromUser(process, address, 8)
      this.vcpu.oneReg.set(id, value.getBigUint64(0, true))
      return 0
    }
    const bytes = new DataView(new ArrayBuffer(8))
    bytes.setBigUint64(0, this.vcpu.oneReg.get(id), true)
    const stored = yield* process.store(hva(address), new Uint8Array(bytes.buffer))
    if (!stored.ok) throw new KernelError('EFAULT')
    return 0
  }
}

/** The part of KVM that runs vCPUs, for the part that manages memory. */
export class VcpuMaker implements KvmHooks {
  readonly vcpuMmapSize = PAGE_SIZE
  readonly #now: () => number
  readonly #vcpus = new WeakMap<Vm, Map<number, KvmVcpu>>()

  /** `now`: the machine's clock in ticks. */
  constructor(now: () => number) {
    this.#now = now
  }

  // biome-ignore lint/correctness/useYield: nothing here waits
  *createVcpu(vm: Vm, id: number): KernelTask<OpenFile> {
    const siblings = this.vcpusOf(vm)
    const vcpu = new KvmVcpu(vm, id, siblings, this.#now)
    siblings.set(id, vcpu)
    return new VcpuFile(vcpu)
  }

  *remoteFlush(vm: Vm): KernelTask<void> {
    yield* flushRemoteTlbs([...this.vcpusOf(vm).values()].map((vcpu) => vcpu.words))
  }

  vcpusOf(vm: Vm): Map<number, KvmVcpu> {
    let vcpus = this.#vcpus.get(vm)
    if (!vcpus) {
      vcpus = new Map()
      this.#vcpus.set(vm, vcpus)
    }
    return vcpus
  }
}
