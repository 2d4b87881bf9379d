// A vCPU as the hypervisor sees it: KVM_RUN, its exits and completions, registers, MP state.
//
// KVM_RUN is a kernel task. It tells the vCPU's thread to enter the guest and parks until the thread rings;
// then it serves the exit and enters again, or fills kvm_run and returns to the VMM (virt/kvm/kvm_main.c,
// arch/riscv/kvm/vcpu.c, vcpu_exit.c). A pending MMIO or SBI exit completes at the start of the next KVM_RUN.

import { Errno, KernelError } from '../base/errno.ts'
import { gpa, type Pfn } from '../base/units.ts'
import { Exit, Vcpu } from '../engine/vcpu-block.ts'
import { type GuestAccess, guestAccess } from '../hart/guest-access.ts'
import { Hart } from '../hart/hart.ts'
import { decodeMmio, extendLoad, type MmioAccess } from '../hart/mmio.ts'
import { VcpuDoorbell, type VcpuWords } from '../hart/requests.ts'
import { SBI_A0, SBI_A1, SbiError, SbiForward } from '../hart/sbi.ts'
import type { VcpuRegisters } from '../hart/vcpu-registers.ts'
import { type VcpuStatName, vcpuStatOffset } from '../hart/vcpu-stats.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Mutex } from '../host/locks.ts'
import { DoorbellBank } from './doorbell.ts'
import { handleGuestFault } from './fault.ts'
import { FAIL_ENTRY_ENGINE, KVM_INTERNAL_ERROR_EMULATION, KvmRun } from './kvm-run.ts'
import { OneRegisters } from './one-reg.ts'
import { applyConversion, type ConversionRequest, checkConversion, sbiInKernel } from './sbi-kernel.ts'
import { ExitReason, KVM_MEMORY_EXIT_FLAG_PRIVATE } from './uapi.ts'
import type { Vm } from './vm.ts'

/** What the next KVM_RUN has to complete. */
type Pending =
  | {
      readonly kind: 'mmio'
      readonly access: MmioAccess
      readonly bytes: number
      /** A load that is a doorbell's call. */
      readonly request: ConversionRequest | null
    }
  | { readonly kind: 'sbi'; readonly request: ConversionRequest | null }
  | { readonly kind: 'hypercall'; readonly request: ConversionRequest }

export class KvmVcpu {
  readonly vm: Vm
  readonly id: number
  /** All vCPUs of the VM by id, this one included. */
  readonly siblings: ReadonlyMap<number, KvmVcpu>
  readonly hart: Hart
  readonly registers: VcpuRegisters
  readonly words: VcpuWords
  readonly run: KvmRun
  readonly oneReg: OneRegisters
  /** Held by every ioctl of the vCPU but those that reach it while it runs. */
  readonly mutex: Mutex
  readonly #doorbell = new DoorbellBank()
  #pending: Pending | null = null

  /** `id` is the hart id and the index of its block. `now`: the machine's clock in ticks. */
  constructor(vm: Vm, id: number, siblings: ReadonlyMap<number, KvmVcpu>, now: () => number) {
    this.vm = vm
    this.id = id
    this.siblings = siblings
    this.hart = new Hart(vm.host, id, vm.stage2.root, 'kvm_arch_vcpu_ioctl_run')
    this.registers = this.hart.registers
    this.words = this.hart.words
    this.registers.setWord(Vcpu.SBI_FORWARD, SbiForward.HYPERCALL)
    this.run = new KvmRun(this.registers)
    this.oneReg = new OneRegisters(this.registers, now)
    this.mutex = new Mutex(vm.host, 'vcpu->mutex')
  }

  /** Frame of struct kvm_run, which mmap of the vCPU's descriptor shows. */
  get runFrame(): Pfn {
    return this.hart.runFrame
  }

  /** The next KVM_RUN puts the VMM's answer into a0 and a1, and applies `request` when it is success. */
  pendingSbi(request: ConversionRequest | null): void {
    this.#pending = { kind: 'sbi', request }
  }

  /** The next KVM_RUN puts the VMM's answer into a0, and applies `request` when it is 0. */
  pendingHypercall(request: ConversionRequest): void {
    this.#pending = { kind: 'hypercall', request }
  }

  /**
   * KVM_RUN. Returns when kvm_run holds an exit; throws EINTR (signal, immediate_exit), and EFAULT or
   * EHWPOISON with exit reason MEMORY_FAULT.
   */
  *ioctlRun(): KernelTask<void> {
    this.#completePending()
    if (this.run.immediateExit) throw new KernelError('EINTR')
    this.run.exitReason = ExitReason.UNKNOWN
    try {
      yield* this.#enterUntilExit()
    } catch (error) {
      if (error instanceof KernelError) {
        this.vm.host.trace('kvm_userspace_exit', this.run.exitReason, -Errno[error.errno])
      }
      throw error
    }
    this.vm.host.trace('kvm_userspace_exit', this.run.exitReason, 0)
  }

  *#enterUntilExit(): KernelTask<void> {
    for (;;) {
      const reason = yield* this.hart.enter()
      if (reason === VcpuDoorbell.SIGNAL) this.#interrupted()
      if (reason === VcpuDoorbell.FAILED) {
        this.run.setFailEntry(FAIL_ENTRY_ENGINE, this.id)
        return
      }
      if (yield* this.#handleExit()) return
    }
  }

  #interrupted(): never {
    this.hart.takeSignal()
    this.#count('signal_exits')
    this.run.exitReason = ExitReason.INTR
    throw new KernelError('EINTR')
  }

  /** Serves the trap the thread rang for; true when the VMM must see it. */
  *#handleExit(): KernelTask<boolean> {
    const cause = this.registers.word(Vcpu.EXIT_SCAUSE)
    if (cause === Exit.VS_ECALL) {
      const exit = sbiInKernel(this) === 'exit'
      if (exit) this.#count('sbi_exit_user')
      return exit
    }
    const access = guestAccess(this.registers)
    if (!access) {
      this.run.setInternalError(KVM_INTERNAL_ERROR_EMULATION, [cause])
      return true
    }
    return yield* this.#guestPageFault(access)
  }

  *#guestPageFault(access: GuestAccess): KernelTask<boolean> {
    this.#count('guest_page_faults')
    const address = gpa(this.registers.number(Vcpu.EXIT_GPA))
    const outcome = yield* handleGuestFault(this.vm, address, access)
    switch (outcome.kind) {
      case 'resume':
        return false
      case 'mmio':
        return this.#mmioExit(address, access)
      case 'memory_fault': {
        this.#count('memory_fault_exits')
        const flags = outcome.private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0
        this.run.setMemoryFault(flags, outcome.gpa, outcome.size)
        throw new KernelError(outcome.errno)
      }
      case 'error':
        throw new KernelError(outcome.errno)
    }
  }

  /** False: KVM has answered the access itself. */
  #mmioExit(address: number, access: GuestAccess): boolean {
    if (access === 'fetch') throw new KernelError('EOPNOTSUPP', 'instruction fetch from MMIO')
    const decoded = decodeMmio(this.registers.word(Vcpu.EXIT_INSN))
    if (address % decoded.length !== 0) throw new KernelError('EIO', 'misaligned MMIO access')
    const { registers } = this
    const low = decoded.write ? registers.xLow(decoded.register) : 0
    const high = decoded.write ? registers.xHigh(decoded.register) : 0
    const bytes = registers.word(Vcpu.EXIT_INSN_LEN)
    const request = this.#doorbellRequest(address, decoded, low, high)
    const error = request ? checkConversion(this.vm, request) : SbiError.SUCCESS
    if (error !== SbiError.SUCCESS) {
      this.#count('mmio_exit_kernel')
      registers.setX(decoded.register, error)
      registers.advancePc(bytes)
      return false
    }
    this.#count('mmio_exit_user')
    this.run.setMmio(address, decoded.length, decoded.write, low, high)
    this.#pending = { kind: 'mmio', access: decoded, bytes, request }
    return true
  }

  /** What a load from the VM's doorbell asks for; remembers what stores to it say. */
  #doorbellRequest(address: number, access: MmioAccess, low: number, high: number): ConversionRequest | null {
    const { doorbell } = this.vm
    if (doorbell === null) return null
    const offset = address - doorbell
    if (!access.write) return this.#doorbell.request(offset, access.length)
    this.#doorbell.store(offset, access.length, low, high)
    return null
  }

  #completePending(): void {
    const pending = this.#pending
    this.#pending = null
    if (!pending) return
    if (pending.kind === 'mmio') {
      if (!pending.access.write) {
        const { low, high } = this.run.mmio
        this.registers.setXPair(pending.access.register, ...extendLoad(pending.access, low, high))
        const success = low === SbiError.SUCCESS && high === 0
        if (pending.request && success) applyConversion(this.vm, pending.request)
      }
      this.registers.advancePc(pending.bytes)
      return
    }
    if (pending.kind === 'hypercall') {
      const answer = this.run.hypercallReturn
      this.registers.setX(SBI_A0, answer)
      this.registers.advancePc(4)
      if (answer === 0) applyConversion(this.vm, pending.request)
      return
    }
    const { error, value } = this.run.sbiReturn
    this.registers.setX(SBI_A0, error)
    this.registers.setX(SBI_A1, value)
    this.registers.advancePc(4)
    if (pending.request && error === SbiError.SUCCESS) applyConversion(this.vm, pending.request)
  }

  #count(stat: VcpuStatName): void {
    this.registers.addFloat(vcpuStatOffset(stat), 1)
  }
}
