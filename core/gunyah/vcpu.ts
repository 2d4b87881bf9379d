// A Gunyah vCPU: GUNYAH_VCPU_RUN, its exits and what the next run resumes with (gunyah_vcpu.c, v17).
//
// The run loop is the driver's; what happens between two entries of the guest (the states of the vcpu_run hypercall) is
// the hypervisor's: which fault is demand paging, which is virtual MMIO, which calls it answers itself.

import { Errno, KernelError } from '../base/errno.ts'
import { type Gpa, gpa, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { Exit, Vcpu } from '../engine/vcpu-block.ts'
import { type GuestAccess, guestAccess } from '../hart/guest-access.ts'
import { Hart } from '../hart/hart.ts'
import { injectAccessFault } from '../hart/inject.ts'
import { decodeMmio, extendLoad, type MmioAccess } from '../hart/mmio.ts'
import { VcpuDoorbell } from '../hart/requests.ts'
import { SbiCovg, SbiError, SbiExtension, SbiForward } from '../hart/sbi.ts'
import { type VcpuStatName, vcpuStatOffset } from '../hart/vcpu-stats.ts'
import { PageType } from '../host/folio-table.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Mutex } from '../host/locks.ts'
import { Asker, TRACE_PRIVATE } from '../trace/events.ts'
import { HypError } from './hyp/error.ts'
import { Access } from './hyp/mapping.ts'
import { demandPage } from './paging.ts'
import { VmState } from './rm/message-ids.ts'
import { GunyahRun, Resume, VmStatus } from './run-page.ts'
import { answerSbi, type ConversionRequest, ExitType, sbiInHypervisor } from './sbi.ts'
import { BootRegister } from './uapi.ts'
import type { GunyahVm } from './vm.ts'

/** What the next run resumes (the driver's own record: user space may write the run page). */
type Pending =
  | { readonly kind: 'mmio'; readonly access: MmioAccess; readonly gpa: Gpa }
  | { readonly kind: 'page_fault'; readonly access: GuestAccess }
  | { readonly kind: 'sbi'; readonly request: ConversionRequest }

export class GunyahVcpu {
  readonly vm: GunyahVm
  readonly id: number
  readonly run: GunyahRun
  readonly runFrame: Pfn
  /** False once the function was removed: the vCPU can run no more. */
  bound = true
  /** The resource, from the moment that RM has made it. */
  hart: Hart | null = null
  readonly #lock: Mutex
  #pending: Pending | null = null
  #down = false
  #references = 2

  /** Throws ENOMEM. */
  constructor(vm: GunyahVm, id: number) {
    const { host } = vm
    this.vm = vm
    this.id = id
    this.runFrame = host.buddy.alloc(0, PageType.kernel, vm.row, 0)
    host.memory.zeroFrame(this.runFrame)
    this.run = new GunyahRun(host.memory.frame(this.runFrame))
    this.#lock = new Mutex(host, 'vcpu->run_lock')
  }

  /** kref_put: the function and the descriptor each hold the run page. */
  put(): void {
    if (--this.#references === 0) this.vm.host.buddy.put(this.runFrame)
  }

  /** gunyah_vcpu_populate: the VM has been initialised, its root table is there. */
  populate(root: Pfn): void {
    this.hart = new Hart(this.vm.host, this.id, root, 'gunyah_vcpu_run')
    this.hart.registers.setWord(Vcpu.SBI_FORWARD, SbiForward.COVG)
  }

  /** The registers that the VM starts with. Only the first vCPU has any. */
  boot(pc: number, deviceTree: number): void {
    const { hart, vm } = this
    if (!hart) return
    hart.registers.setNumber(Vcpu.PC, pc)
    hart.registers.setX(11, deviceTree)
    for (const [register, [low, high]] of vm.bootContext) {
      const set = register >> 8
      if (set === BootRegister.PC) hart.registers.setPair(Vcpu.PC, low, high)
      else hart.registers.setXPair(set === BootRegister.SP ? 2 : register & 0xff, low, high)
    }
  }

  /** GUNYAH_VCPU_RUN. ENODEV: no such vCPU yet, or any more; EINVAL: the resume action; EINTR. */
  *ioctlRun(): KernelTask<void> {
    if (!this.bound) throw new KernelError('ENODEV')
    yield* this.#lock.lock()
    try {
      yield* this.#runLocked()
    } finally {
      this.#lock.unlock()
    }
    this.vm.host.trace('gunyah_vcpu_run', this.id, this.run.exitReason)
  }

  *#runLocked(): KernelTask<void> {
    const { hart } = this
    if (!hart) throw new KernelError('ENODEV')
    if (this.#down) return
    if (this.vm.status !== VmState.RUNNING && this.#systemDown()) return
    yield* this.#resume(hart)
    for (;;) {
      if (this.run.immediateExit) throw new KernelError('EINTR')
      const reason = yield* hart.enter(() => this.vm.status !== VmState.RUNNING)
      if (this.vm.status !== VmState.RUNNING && this.#systemDown()) {
        hart.takeSignal()
        return
      }
      if (reason === VcpuDoorbell.SIGNAL) {
        hart.takeSignal()
        this.#count(hart, 'signal_exits')
        throw new KernelError('EINTR')
      }
      if (reason === VcpuDoorbell.FAILED) this.vm.exited(ExitType.HYP_ERROR, 0)
      else if (yield* this.#handleExit(hart)) return
    }
  }

  /** gunyah_vcpu_check_system: the VM runs no more, and the run page says so. */
  #systemDown(): boolean {
    const { status, exit } = this.vm
    const told =
      status === VmState.INIT_FAILED
        ? VmStatus.LOAD_FAILED
        : status === VmState.EXITED && exit.type !== ExitType.HYP_ERROR
          ? VmStatus.EXITED
          : VmStatus.CRASHED
    this.run.setStatus(told, exit.type, exit.reason)
    this.#down = true
    return true
  }

  /** True when the VMM must see the exit. */
  *#handleExit(hart: Hart): KernelTask<boolean> {
    const { registers } = hart
    if (registers.word(Vcpu.EXIT_SCAUSE) === Exit.VS_ECALL) return this.#sbi(hart)
    const access = guestAccess(registers)
    if (!access) {
      this.vm.exited(ExitType.HYP_ERROR, registers.word(Vcpu.EXIT_SCAUSE))
      return false
    }
    this.#count(hart, 'guest_page_faults')
    const address = gpa(registers.number(Vcpu.EXIT_GPA))
    if (access === 'fetch' && this.#mayNotExecute(address)) {
      injectAccessFault(registers, access)
      return false
    }
    const attempt = yield* this.#demandPage(address, access === 'write')
    if (attempt === 0 || attempt === -Errno.EAGAIN) return false
    if (this.vm.isDemandPaged(Math.floor(address / PAGE_SIZE))) {
      this.run.setPageFault(address, attempt)
      this.#pending = { kind: 'page_fault', access }
      this.#count(hart, 'memory_fault_exits')
      return true
    }
    return this.#mmio(hart, address, access)
  }

  /** The page is there, and not for code: what is shared. */
  #mayNotExecute(address: Gpa): boolean {
    const { resources, system } = this.vm
    if (!resources) return false
    const { error, access } = system.hypervisor.addrspaceLookup(resources.space, address)
    return error === HypError.OK && (access & Access.X) === 0
  }

  /** 0 or a negative errno. */
  *#demandPage(address: Gpa, write: boolean): KernelTask<number> {
    try {
      yield* demandPage(this.vm, address, write)
      return 0
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      return -Errno[error.errno]
    }
  }

  /** ADDRSPACE_VMMIO_READ and WRITE; an access that cannot be decoded is the guest's fault. */
  #mmio(hart: Hart, address: Gpa, access: GuestAccess): boolean {
    const { registers } = hart
    const decoded = decodable(registers.word(Vcpu.EXIT_INSN), access)
    if (!decoded || address % decoded.length !== 0) {
      injectAccessFault(registers, access)
      return false
    }
    this.#count(hart, 'mmio_exit_user')
    const low = decoded.write ? registers.xLow(decoded.register) : 0
    const high = decoded.write ? registers.xHigh(decoded.register) : 0
    this.run.setMmio(address, decoded.length, decoded.write, low, high)
    this.#pending = { kind: 'mmio', access: decoded, gpa: address }
    return true
  }

  #sbi(hart: Hart): boolean {
    const outcome = sbiInHypervisor(this.vm, hart)
    if (outcome.kind === 'ended') {
      // The call never returns; the loop finds the VM down.
      this.vm.exited(outcome.type, outcome.reason)
      return false
    }
    if (outcome.kind === 'answered') return false
    const { request } = outcome
    const size = (request.end - request.start) * PAGE_SIZE
    const fid = request.share ? SbiCovg.SHARE : SbiCovg.UNSHARE
    this.run.setSbi(SbiExtension.COVG, fid, [request.start * PAGE_SIZE, size])
    this.#pending = { kind: 'sbi', request }
    this.#count(hart, 'sbi_exit_user')
    return true
  }

  /** gunyah_handle_mmio_resume and its kin. An action that there is not: EINVAL, and the exit is still to be resumed. */
  *#resume(hart: Hart): KernelTask<void> {
    const pending = this.#pending
    if (!pending) return
    switch (pending.kind) {
      case 'mmio':
        yield* this.#resumeMmio(hart, pending.access, pending.gpa)
        break
      case 'page_fault':
        if (this.run.pageFault.resume > Resume.RETRY) throw new KernelError('EINVAL')
        if (this.run.pageFault.resume === Resume.FAULT) injectAccessFault(hart.registers, pending.access)
        break
      case 'sbi':
        if (this.run.sbi.resume > Resume.FAULT) throw new KernelError('EINVAL')
        yield* this.#convert(hart, pending.request, this.run.sbi.resume === Resume.HANDLED)
    }
    this.#pending = null
  }

  *#resumeMmio(hart: Hart, access: MmioAccess, address: Gpa): KernelTask<void> {
    const { resume, low, high } = this.run.mmio
    switch (resume) {
      case Resume.HANDLED:
        if (!access.write) hart.registers.setXPair(access.register, ...extendLoad(access, low, high))
        hart.registers.advancePc(hart.registers.word(Vcpu.EXIT_INSN_LEN))
        break
      case Resume.FAULT:
        injectAccessFault(hart.registers, access.write ? 'write' : 'read')
        break
      case Resume.RETRY:
        // User space has probably added a binding.
        yield* this.#demandPage(address, access.write)
        break
      default:
        throw new KernelError('EINVAL')
    }
  }

  *#convert(hart: Hart, request: ConversionRequest, allowed: boolean): KernelTask<void> {
    if (!allowed) {
      answerSbi(hart, SbiError.DENIED)
      return
    }
    const { host, parcels } = this.vm
    const since = host.now()
    let errno = 0
    try {
      if (request.share) yield* parcels.share(request)
      else yield* parcels.unshare(request)
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      errno = Errno[error.errno]
    }
    const to = request.share ? 0 : TRACE_PRIVATE
    const ns = (host.now() - since) * 1000
    host.trace('gmemscope_convert_done', request.start, request.end, to, Asker.guest, ns, errno)
    answerSbi(hart, errno === 0 ? SbiError.SUCCESS : SbiError.FAILED)
  }

  #count(hart: Hart, stat: VcpuStatName): void {
    hart.registers.addFloat(vcpuStatOffset(stat), 1)
  }
}

/** The access that the hypervisor can emulate, or null. */
const decodable = (instruction: number, access: GuestAccess): MmioAccess | null => {
  if (access === 'fetch') return null
  try {
    return decodeMmio(instruction)
  } catch (error) {
    if (error instanceof KernelError) return null
    throw error
  }
}
