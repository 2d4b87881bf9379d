// The VMM's loop for one vCPU under Gunyah: GUNYAH_VCPU_RUN, look at the exit, answer it, again.

import { Errno, errnoName } from '../base/errno.ts'
import { Doorbell } from '../devices/doorbell/device.ts'
import { Resume, VcpuExit, VmStatus } from '../gunyah/run-page.ts'
import { ExitType } from '../gunyah/sbi.ts'
import { Gunyah } from '../gunyah/uapi.ts'
import { SbiCovg } from '../hart/sbi.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Asker } from '../trace/events.ts'
import type { GunyahVmm, GunyahVmmVcpu } from './gunyah-vmm.ts'
import { notSupported, serveMmio } from './mmio.ts'
import type { VcpuEnd, VcpuLoopHooks } from './vcpu-hooks.ts'

export class GunyahLoop {
  readonly #vmm: GunyahVmm
  readonly #vcpu: GunyahVmmVcpu
  readonly #hooks: VcpuLoopHooks
  /** Here conversions are the hypervisor's, upon an SBI call: the doorbell has none to offer. */
  readonly #doorbell = new Doorbell(notSupported)
  /** What the person was told last: the same is not told again. */
  #told = ''

  constructor(vmm: GunyahVmm, vcpu: GunyahVmmVcpu, hooks: VcpuLoopHooks) {
    this.#vmm = vmm
    this.#vcpu = vcpu
    this.#hooks = hooks
  }

  /** Runs the vCPU until the machine pauses or ends. */
  *run(): KernelTask<VcpuEnd> {
    this.#told = ''
    while (!this.#hooks.paused()) {
      const result = yield* this.#vmm.syscalls.ioctl(this.#vcpu.fd, Gunyah.VCPU_RUN, 0)
      if (result === -Errno.EINTR) continue
      if (result < 0) return this.#failed(`GUNYAH_VCPU_RUN failed with ${errnoName(-result)}`)
      const end = yield* this.#exit()
      if (end) return end
    }
    return { kind: 'paused' }
  }

  *#exit(): KernelTask<VcpuEnd | null> {
    const { run } = this.#vcpu.vcpu
    switch (run.exitReason) {
      case VcpuExit.MMIO:
        yield* serveMmio(this.#hooks.mmio, this.#doorbell, run)
        return null
      case VcpuExit.PAGE_FAULT:
        yield* this.#pageFault()
        return null
      case VcpuExit.SBI:
        yield* this.#sbi()
        return null
      case VcpuExit.STATUS:
        return this.#ended()
      default:
        return this.#failed(
          `GUNYAH_VCPU_RUN returned exit reason ${run.exitReason}, which this VMM does not serve`,
        )
    }
  }

  /** Demand paging failed. What a person can cure is waited for; the rest is the guest's fault. */
  *#pageFault(): KernelTask<void> {
    const { run } = this.#vcpu.vcpu
    const { gpa, attempt } = run.pageFault
    const { notices } = this.#hooks
    const { id } = this.#vcpu.vcpu
    const name = errnoName(-attempt)
    const curable = attempt === -Errno.ENOMEM || attempt === -Errno.EHWPOISON || attempt === -Errno.EPERM
    if (this.#told !== `${gpa} ${name}`) {
      if (attempt === -Errno.ENOMEM) notices.outOfMemory(id, gpa)
      else if (attempt === -Errno.EHWPOISON) notices.poisoned(id, gpa)
      else notices.pageFault(id, gpa, name)
    }
    this.#told = `${gpa} ${name}`
    if (!curable) {
      run.setPageFaultResume(Resume.FAULT)
      return
    }
    const { remedies, process } = this.#vmm
    const free = process.host.buddy.freeFrames
    yield {
      at: 'vmm/wait_page',
      until: () =>
        this.#hooks.paused() ||
        this.#vmm.remedies !== remedies ||
        (attempt === -Errno.ENOMEM && process.host.buddy.freeFrames > free),
    }
    run.setPageFaultResume(Resume.RETRY)
  }

  /** The guest asks to share or unshare: the next run carries it out, or says DENIED. */
  *#sbi(): KernelTask<void> {
    const { run, id } = this.#vcpu.vcpu
    const { fid, args } = run.sbi
    const [gpa, size] = args
    const share = fid === SbiCovg.SHARE
    if (!this.#hooks.acceptsConversions()) {
      run.setSbiResume(Resume.FAULT)
      yield* this.#vmm.traced(Asker.guest, gpa, size, !share, refuse())
      this.#hooks.notices.refused(id, gpa, size, share)
      return
    }
    run.setSbiResume(Resume.HANDLED)
  }

  #ended(): VcpuEnd {
    const { status, type, reason } = this.#vcpu.vcpu.run.status
    if (status === VmStatus.EXITED)
      return { kind: type === ExitType.POWER_OFF ? 'shutdown' : 'reset', reason }
    return this.#failed(
      status === VmStatus.LOAD_FAILED
        ? 'the VM could not be loaded'
        : 'the VM has crashed: its registers or page tables break the engine',
    )
  }

  #failed(message: string): VcpuEnd {
    return { kind: 'failed', message: `vCPU ${this.#vcpu.vcpu.id}: ${message}` }
  }
}

// biome-ignore lint/correctness/useYield: the policy asks nobody
function* refuse(): KernelTask<{ result: number }> {
  return { result: -Errno.EPERM }
}
