// KVM_RUN failed over memory: what the VMM does about it for one vCPU, while the others go on.
//
// What cannot be cured here is told to a person, and the vCPU waits: it enters the guest again when something may
// have cured it (Vmm.remedies), when frames became free, or when the machine is paused and resumed.

import { Errno, errnoName } from '../base/errno.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { ExitReason, KVM_MEMORY_EXIT_FLAG_PRIVATE } from '../kvm/uapi.ts'
import { Asker } from '../trace/events.ts'
import { convertPatiently } from './conversions.ts'
import type { KvmVmm, KvmVmmVcpu } from './kvm-vmm.ts'
import type { VcpuLoopHooks } from './vcpu-hooks.ts'

const NEVER = (): boolean => false

export class MemoryFaults {
  readonly #vmm: KvmVmm
  readonly #vcpu: KvmVmmVcpu
  readonly #hooks: VcpuLoopHooks
  /** The page of the last fault that found nothing to repair, as after another vCPU's repair. */
  #retriedGpa = -1
  /** Frames that were free then. */
  #freeThen = 0
  /** Vmm.remedies, and the frames free, when KVM_RUN was called: what came after it failed must not be missed. */
  #remediesBefore = 0
  #freeBefore = 0
  /** What the person was told last: the same is not told again. */
  #told = ''

  constructor(vmm: KvmVmm, vcpu: KvmVmmVcpu, hooks: VcpuLoopHooks) {
    this.#vmm = vmm
    this.#vcpu = vcpu
    this.#hooks = hooks
  }

  /** KVM_RUN is about to be called. */
  entering(): void {
    this.#remediesBefore = this.#vmm.remedies
    this.#freeBefore = this.#freeFrames
  }

  /** KVM_RUN went on: whatever was wrong is no more. */
  forget(): void {
    this.#retriedGpa = -1
    this.#told = ''
  }

  /** Serves a failed KVM_RUN. null: enter the guest again; else why the machine has failed. */
  *serve(errno: number): KernelTask<string | null> {
    const { run } = this.#vcpu.vcpu
    const fault = run.exitReason === ExitReason.MEMORY_FAULT ? run.memoryFault : null
    if (errno === Errno.ENOMEM) return yield* this.#outOfMemory(fault?.gpa ?? null)
    if (errno === Errno.EHWPOISON) return yield* this.#poisoned(fault?.gpa ?? null)
    if (!fault) return `KVM_RUN failed with ${errnoName(errno)}`
    const wantsPrivate = (fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0
    if (this.#vmm.isConverting(fault.gpa)) {
      yield {
        at: 'vmm/wait_conversion',
        until: () => this.#hooks.paused() || !this.#vmm.isConverting(fault.gpa),
      }
      return null
    }
    return this.#vmm.memory.isPrivate(fault.gpa) === wantsPrivate
      ? yield* this.#noBacking(fault.gpa, wantsPrivate, errno)
      : yield* this.#mismatch(fault.gpa, fault.size, wantsPrivate, errno)
  }

  /**
   * The guest touched a page as it declared it, and the attribute says otherwise. As QEMU does, the VMM sets the
   * attribute to what the access wants and goes on, unless it refuses to.
   */
  *#mismatch(gpa: number, size: number, wantsPrivate: boolean, errno: number): KernelTask<null> {
    const { notices } = this.#hooks
    const { id } = this.#vcpu.vcpu
    this.#retriedGpa = -1
    const accepts = this.#hooks.acceptsConversions()
    if (accepts) {
      const done = yield* convertPatiently(this.#vmm, Asker.vmm, gpa, size, wantsPrivate)
      if (done.result === 0) {
        notices.memoryFault(id, gpa, wantsPrivate, errnoName(errno), true)
        return null
      }
      const refusal = errnoName(-done.result)
      this.#tell(`${gpa} ${refusal}`, () =>
        notices.blocked(id, gpa, size, wantsPrivate, refusal, done.gpa ?? gpa),
      )
    } else {
      this.#tell(`${gpa} policy`, () => notices.memoryFault(id, gpa, wantsPrivate, errnoName(errno), false))
    }
    yield* this.#wait('vmm/wait_memory', () => this.#hooks.acceptsConversions() !== accepts)
    return null
  }

  /** The attribute is right. When the fault comes again nothing is behind the page. */
  *#noBacking(gpa: number, wantsPrivate: boolean, errno: number): KernelTask<string | null> {
    if (this.#retriedGpa !== gpa) {
      this.#retriedGpa = gpa
      this.#freeThen = this.#freeFrames
      return null
    }
    // KVM says EFAULT for a page of the VMM's that is not mapped, and for one that the host had no frame for.
    if (!wantsPrivate && Math.min(this.#freeThen, this.#freeFrames) === 0)
      return yield* this.#outOfMemory(gpa)
    const name = errnoName(errno)
    this.#hooks.notices.memoryFault(this.#vcpu.vcpu.id, gpa, wantsPrivate, name, false)
    return `memory fault at 0x${gpa.toString(16)} (${name}): there is no memory behind the page`
  }

  *#outOfMemory(gpa: number | null): KernelTask<null> {
    const what = `${gpa} ENOMEM`
    // The first time nobody knows how many frames were free when it failed: any are worth another try.
    const free = this.#told === what ? Math.min(this.#freeBefore, this.#freeFrames) : 0
    this.#tell(what, () => this.#hooks.notices.outOfMemory(this.#vcpu.vcpu.id, gpa))
    yield* this.#wait('vmm/wait_frames', () => this.#freeFrames > free)
    return null
  }

  *#poisoned(gpa: number | null): KernelTask<null> {
    if (gpa !== null) this.#vmm.memory.failedPages.add(gpa)
    this.#tell(`${gpa} EHWPOISON`, () => this.#hooks.notices.poisoned(this.#vcpu.vcpu.id, gpa))
    yield* this.#wait('vmm/wait_recovery', NEVER)
    return null
  }

  *#wait(at: string, cured: () => boolean): KernelTask<void> {
    const remedies = this.#remediesBefore
    yield { at, until: () => this.#hooks.paused() || this.#vmm.remedies !== remedies || cured() }
  }

  #tell(what: string, say: () => void): void {
    if (this.#told !== what) say()
    this.#told = what
  }

  /** MemFree, as /proc/meminfo tells any process. */
  get #freeFrames(): number {
    return this.#vmm.process.host.buddy.freeFrames
  }
}
