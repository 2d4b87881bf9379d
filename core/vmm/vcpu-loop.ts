// The VMM's loop for one vCPU: KVM_RUN, look at the exit, answer it, again.

import { Errno } from '../base/errno.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { Doorbell } from '../devices/doorbell/device.ts'
import { SbiCovg, SbiDbcn, SbiError, SbiExtension } from '../hart/sbi.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { KvmSystemEvent } from '../kvm/kvm-run.ts'
import { ExitReason, HypercallError, KVM_MAP_GPA_RANGE_ENCRYPTED, Kvm } from '../kvm/uapi.ts'
import { answerConversion } from './conversions.ts'
import { hostRead } from './host-actions.ts'
import type { KvmVmm, KvmVmmVcpu } from './kvm-vmm.ts'
import { MemoryFaults } from './memory-faults.ts'
import { notSupported, serveMmio } from './mmio.ts'
import type { VcpuEnd, VcpuLoopHooks } from './vcpu-hooks.ts'

/** What a hypercall answers for an SBI error. */
const hypercallErrors = new Map<number, number>([
  [SbiError.DENIED, HypercallError.EPERM],
  [SbiError.INVALID_ADDRESS, HypercallError.EINVAL],
  [SbiError.FAILED, HypercallError.EFAULT],
])

export class VcpuLoop {
  readonly #vmm: KvmVmm
  readonly #vcpu: KvmVmmVcpu
  readonly #hooks: VcpuLoopHooks
  readonly #faults: MemoryFaults
  #conversion: { readonly start: number; readonly end: number } | null = null
  /** This hart's bank. A VM whose memory is only shared has nothing to convert. */
  readonly #doorbell = new Doorbell((gpa, size, share) =>
    this.#vmm.options.private ? this.#convert(gpa, size, share) : notSupported(),
  )

  constructor(vmm: KvmVmm, vcpu: KvmVmmVcpu, hooks: VcpuLoopHooks) {
    this.#vmm = vmm
    this.#vcpu = vcpu
    this.#hooks = hooks
    this.#faults = new MemoryFaults(vmm, vcpu, hooks)
  }

  /** Runs the vCPU until the machine pauses or ends. */
  *run(): KernelTask<VcpuEnd> {
    // A person who resumes hears again what is still wrong.
    this.#faults.forget()
    while (!this.#hooks.paused()) {
      // The next KVM_RUN completes a conversion before anything else can run.
      if (this.#conversion) this.#vmm.converting.delete(this.#conversion)
      this.#conversion = null
      this.#faults.entering()
      const result = yield* this.#vmm.syscalls.ioctl(this.#vcpu.fd, Kvm.RUN, 0)
      if (result === -Errno.EINTR) continue
      if (result < 0) {
        const failure = yield* this.#faults.serve(-result)
        if (failure) return this.#failed(failure)
        continue
      }
      this.#faults.forget()
      const end = yield* this.#exit()
      if (end) return end
    }
    return { kind: 'paused' }
  }

  *#exit(): KernelTask<VcpuEnd | null> {
    const { run } = this.#vcpu.vcpu
    switch (run.exitReason) {
      case ExitReason.MMIO:
        yield* serveMmio(this.#hooks.mmio, this.#doorbell, run)
        return null
      case ExitReason.RISCV_SBI:
        yield* this.#sbi()
        return null
      case ExitReason.HYPERCALL:
        yield* this.#hypercall()
        return null
      case ExitReason.SYSTEM_EVENT: {
        const { type, data } = run.systemEvent
        return { kind: type === KvmSystemEvent.SHUTDOWN ? 'shutdown' : 'reset', reason: data }
      }
      case ExitReason.FAIL_ENTRY:
        return this.#failed(
          'KVM_RUN could not enter the guest (FAIL_ENTRY): its registers or page tables break the engine',
        )
      default:
        return this.#failed(`KVM_RUN returned exit reason ${run.exitReason}, which this VMM does not serve`)
    }
  }

  *#sbi(): KernelTask<void> {
    const { run } = this.#vcpu.vcpu
    const { extension, fid, args } = run.sbi
    if (extension === SbiExtension.COVG) {
      const error = yield* this.#convert(args[0], args[1], fid === SbiCovg.SHARE)
      run.setSbiReturn(error, 0)
    } else if (extension === SbiExtension.DBCN) {
      const { error, value } = yield* this.#debugConsole(fid, args)
      run.setSbiReturn(error, value)
    }
  }

  /** KVM_HC_MAP_GPA_RANGE, the one hypercall that this VMM has enabled: the same request in KVM's own words. */
  *#hypercall(): KernelTask<void> {
    const { run } = this.#vcpu.vcpu
    const [gpa, pages, attributes] = run.hypercall.args
    const share = (attributes & KVM_MAP_GPA_RANGE_ENCRYPTED) === 0
    const error = yield* this.#convert(gpa, pages * PAGE_SIZE, share)
    run.setHypercallReturn(-(hypercallErrors.get(error) ?? 0))
  }

  /** The guest asks to share or unshare [gpa, gpa + size). Returns the SBI error. */
  #convert(gpa: number, size: number, share: boolean): KernelTask<number> {
    const asked = { vcpu: this.#vcpu.vcpu.id, gpa, size, share }
    return answerConversion(this.#vmm, this.#hooks, asked, () => {
      this.#conversion = { start: gpa, end: gpa + size }
      this.#vmm.converting.add(this.#conversion)
    })
  }

  /** The debug console reads and writes the guest's buffer through the VMM's mapping: a private one is out of reach. */
  *#debugConsole(fid: number, args: readonly number[]): KernelTask<{ error: number; value: number }> {
    if (fid === SbiDbcn.WRITE_BYTE)
      return { error: this.#hooks.consoleByte(args[0] & 0xff) ? SbiError.SUCCESS : SbiError.FAILED, value: 0 }
    const [length, gpa] = args
    if (fid === SbiDbcn.READ || length === 0) return { error: SbiError.SUCCESS, value: 0 }
    const loaded = yield* hostRead(this.#vmm, gpa, Math.min(length, PAGE_SIZE))
    if (loaded.kind !== 'ok') return { error: SbiError.INVALID_PARAM, value: 0 }
    let written = 0
    while (written < loaded.value.length && this.#hooks.consoleByte(loaded.value[written])) written++
    return { error: SbiError.SUCCESS, value: written }
  }

  #failed(message: string): VcpuEnd {
    return { kind: 'failed', message: `vCPU ${this.#vcpu.vcpu.id}: ${message}` }
  }
}
