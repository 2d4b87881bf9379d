// The VMM's loop for one vCPU: KVM_RUN, look at the exit, answer it, again.

import { Errno, errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { Falloc } from '../host/fallocate.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Advice } from '../host/madvise.ts'
import { KvmSystemEvent } from '../kvm/kvm-run.ts'
import { SbiCovg, SbiDbcn, SbiError, SbiExtension } from '../kvm/sbi.ts'
import { ExitReason, KVM_MEMORY_EXIT_FLAG_PRIVATE, Kvm } from '../kvm/uapi.ts'
import { Asker } from '../trace/events.ts'
import type { Vmm, VmmVcpu } from './vmm.ts'

/** What the loop tells whoever runs the machine. */
export interface VcpuLoopHooks {
  /** True: return instead of entering the guest again. */
  paused(): boolean
  /** False: refuse what the guest asks for. */
  acceptsConversions(): boolean
  /** A byte that the guest wrote by SBI; false when there is no room. */
  consoleByte(byte: number): boolean
  /** Told about memory-fault exits and refusals. */
  readonly notices: {
    memoryFault(vcpu: number, gpa: number, wantsPrivate: boolean, errno: string, repaired: boolean): void
    refused(vcpu: number, gpa: number, size: number, share: boolean): void
  }
}

/** Why the loop ended. */
export type VcpuEnd =
  | { readonly kind: 'paused' }
  /** The guest asked for it by SBI system reset; `reason` 0 is none, 1 a failure. */
  | { readonly kind: 'shutdown' | 'reset'; readonly reason: number }
  /** KVM_RUN failed, or an exit the VMM cannot serve. */
  | { readonly kind: 'failed'; readonly message: string }

export class VcpuLoop {
  readonly #vmm: Vmm
  readonly #vcpu: VmmVcpu
  readonly #hooks: VcpuLoopHooks
  /** The page of the last memory fault that found nothing to repair, as after another vCPU's repair. */
  #retriedGpa = -1
  #conversion: { readonly start: number; readonly end: number } | null = null

  constructor(vmm: Vmm, vcpu: VmmVcpu, hooks: VcpuLoopHooks) {
    this.#vmm = vmm
    this.#vcpu = vcpu
    this.#hooks = hooks
  }

  /** Runs the vCPU until the machine pauses or ends. */
  *run(): KernelTask<VcpuEnd> {
    const { vcpu, fd } = this.#vcpu
    while (!this.#hooks.paused()) {
      // The next KVM_RUN completes a conversion before anything else can run.
      if (this.#conversion) this.#vmm.converting.delete(this.#conversion)
      this.#conversion = null
      const result = yield* this.#vmm.syscalls.ioctl(fd, Kvm.RUN, 0)
      if (result === -Errno.EINTR) continue
      const faulted = vcpu.run.exitReason === ExitReason.MEMORY_FAULT && result < 0
      const end = faulted
        ? yield* this.#memoryFault(-result)
        : result < 0
          ? this.#failed(`KVM_RUN failed with ${errnoName(-result)}`)
          : yield* this.#exit()
      if (end) return end
      if (!faulted) this.#retriedGpa = -1
    }
    return { kind: 'paused' }
  }

  *#exit(): KernelTask<VcpuEnd | null> {
    const { run } = this.#vcpu.vcpu
    switch (run.exitReason) {
      case ExitReason.MMIO:
        // Nothing is there: as on a bus nobody answers, loads read ones and stores are lost.
        if (!run.mmio.write) run.setMmioData(-1, -1)
        return null
      case ExitReason.RISCV_SBI:
        yield* this.#sbi()
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

  /** The guest asks to share or unshare [gpa, gpa + size): the policy decides. Returns the SBI error. */
  *#convert(gpa: number, size: number, share: boolean): KernelTask<number> {
    const result = yield* this.#vmm.traced(Asker.guest, gpa, size, !share, this.#decide(gpa, size, share))
    if (result === -Errno.EPERM) return SbiError.DENIED
    return result === 0 ? SbiError.SUCCESS : SbiError.FAILED
  }

  /** Converts, and gives back the half that lost the pages; or refuses with -EPERM. */
  *#decide(gpa: number, size: number, share: boolean): KernelTask<number> {
    const vmm = this.#vmm
    if (!this.#hooks.acceptsConversions()) {
      this.#hooks.notices.refused(this.#vcpu.vcpu.id, gpa, size, share)
      return -Errno.EPERM
    }
    this.#conversion = { start: gpa, end: gpa + size }
    vmm.converting.add(this.#conversion)
    const result = yield* vmm.setPrivate(gpa, size, !share)
    if (result < 0) return result
    const punch = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
    yield* share
      ? vmm.syscalls.fallocate(vmm.gmemFd, punch, vmm.offsetOf(gpa), size)
      : vmm.syscalls.madvise(vmm.hvaOf(gpa), size, Advice.DONTNEED)
    return 0
  }

  /** The debug console reads and writes the guest's buffer through the VMM's mapping: a private one is out of reach. */
  *#debugConsole(fid: number, args: readonly number[]): KernelTask<{ error: number; value: number }> {
    if (fid === SbiDbcn.WRITE_BYTE)
      return { error: this.#hooks.consoleByte(args[0] & 0xff) ? SbiError.SUCCESS : SbiError.FAILED, value: 0 }
    const [length, gpa] = args
    if (fid === SbiDbcn.READ || length === 0) return { error: SbiError.SUCCESS, value: 0 }
    if (this.#vmm.isPrivate(gpa)) return { error: SbiError.INVALID_PARAM, value: 0 }
    const loaded = yield* this.#vmm.syscalls.load(hva(this.#vmm.hvaOf(gpa)), Math.min(length, PAGE_SIZE))
    if (!loaded.ok) return { error: SbiError.INVALID_PARAM, value: 0 }
    let written = 0
    while (written < loaded.value.length && this.#hooks.consoleByte(loaded.value[written])) written++
    return { error: SbiError.SUCCESS, value: written }
  }

  /**
   * KVM_EXIT_MEMORY_FAULT: the guest touched a page as it declared it, and the attribute says otherwise. As
   * QEMU does, the VMM sets the attribute to what the access wants and goes on, unless it refuses to. When the
   * attribute is right and the fault comes again there is no memory behind the page, and the machine has failed.
   */
  *#memoryFault(errno: number): KernelTask<VcpuEnd | null> {
    const { flags, gpa, size } = this.#vcpu.vcpu.run.memoryFault
    const wantsPrivate = (flags & KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0
    const name = errnoName(errno)
    if (this.#vmm.isConverting(gpa)) {
      yield {
        at: 'vmm/wait_conversion',
        until: () => this.#hooks.paused() || !this.#vmm.isConverting(gpa),
      }
      return null
    }
    if (this.#vmm.isPrivate(gpa) === wantsPrivate) {
      if (this.#retriedGpa !== gpa) {
        this.#retriedGpa = gpa
        return null
      }
      this.#hooks.notices.memoryFault(this.#vcpu.vcpu.id, gpa, wantsPrivate, name, false)
      return this.#failed(`memory fault at ${hex(gpa)} (${name}): there is no memory behind the page`)
    }
    this.#retriedGpa = -1
    const repaired = this.#hooks.acceptsConversions() && (yield* this.#repair(gpa, size, wantsPrivate)) === 0
    this.#hooks.notices.memoryFault(this.#vcpu.vcpu.id, gpa, wantsPrivate, name, repaired)
    // Refused: this vCPU waits until somebody converts the page, or allows it. Everything else goes on.
    if (!repaired)
      yield {
        at: 'vmm/wait_memory',
        until: () =>
          this.#hooks.paused() ||
          this.#hooks.acceptsConversions() ||
          this.#vmm.isPrivate(gpa) === wantsPrivate,
      }
    return null
  }

  #repair(gpa: number, size: number, toPrivate: boolean): KernelTask<number> {
    const vmm = this.#vmm
    return vmm.traced(Asker.vmm, gpa, size, toPrivate, vmm.setPrivate(gpa, size, toPrivate))
  }

  #failed(message: string): VcpuEnd {
    return { kind: 'failed', message: `vCPU ${this.#vcpu.vcpu.id}: ${message}` }
  }
}

const hex = (value: number): string => `0x${value.toString(16)}`
