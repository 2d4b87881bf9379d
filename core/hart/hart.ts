// A hart as a hypervisor holds it: the registers and the mailbox of one vCPU block, and how its thread is run.
//
// Every hypervisor here runs guests on the same harts: it builds stage 2, tells the thread to enter the guest, parks
// until the thread rings, and serves the exit. What an exit means is the hypervisor's.

import { hpa, hpaToPfn, type Pfn, pfnToHpa } from '../base/units.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { vcpuBlock } from '../host/layout.ts'
import { MpState } from './mp-state.ts'
import { VcpuCommand, VcpuDoorbell, VcpuRequest, VcpuWords } from './requests.ts'
import { SBI_A0, SBI_A1 } from './sbi.ts'
import { VcpuRegisters } from './vcpu-registers.ts'

const SIE = 1 << 1

export class Hart {
  /** Hart id, and the index of its block. */
  readonly id: number
  readonly registers: VcpuRegisters
  readonly words: VcpuWords
  readonly #block: number
  readonly #waiting: string
  readonly #inGuest: string
  #signalled = false

  /** `root`: the first frame of the guest's stage 2. `path`: the kernel's function that runs it, for step names. */
  constructor(host: Host, id: number, root: Pfn, path: string) {
    this.id = id
    this.#waiting = `${path}/wait_runnable`
    this.#inGuest = `${path}/guest`
    const { buffer, layout } = host.memory
    this.#block = vcpuBlock(layout, id)
    this.registers = new VcpuRegisters(buffer, this.#block)
    this.words = new VcpuWords(buffer, this.#block)
    this.reset()
    this.registers.setWord(Vcpu.HGATP_ROOT, pfnToHpa(root))
    // Only the first starts by itself.
    this.mpState = id === 0 ? MpState.RUNNABLE : MpState.STOPPED
    // The reference that the run page's frame has of its own, so that unmapping it never frees it.
    host.memory.folios.refcount[this.runFrame] = 1
  }

  /** Registers as at power-on, nothing pending; the MP state stays (kvm_riscv_reset_vcpu). */
  reset(): void {
    const { registers, words } = this
    registers.clear(Vcpu.X, Vcpu.INSTRET)
    registers.clear(Vcpu.LR_HPA, Vcpu.HGATP_ROOT)
    registers.setWord(Vcpu.PRIV, 1)
    // User mode may read cycle, time and instret until the guest says otherwise.
    registers.setWord(Vcpu.SCOUNTEREN, 7)
    registers.setNumber(Vcpu.STIMECMP, -1)
    words.store(Vcpu.PENDING, 0)
    words.request(VcpuRequest.TLB_FLUSH)
  }

  /** Frame of the page that the vCPU shares with its VMM: struct kvm_run, struct gunyah_vcpu_run. */
  get runFrame(): Pfn {
    return hpaToPfn(hpa(this.#block + Vcpu.RUN_PAGE))
  }

  get mpState(): number {
    return this.words.load(Vcpu.MP_STATE)
  }

  set mpState(state: number) {
    this.words.store(Vcpu.MP_STATE, state)
  }

  /** HSM start: supervisor mode at `pc`, a0 = hart id, a1 = opaque, translation and interrupts off. */
  start(pc: number, opaqueLow: number, opaqueHigh: number): void {
    const { registers } = this
    registers.setNumber(Vcpu.PC, pc)
    registers.setX(SBI_A0, this.id)
    registers.setXPair(SBI_A1, opaqueLow, opaqueHigh)
    registers.setNumber(Vcpu.SATP, 0)
    registers.setWord(Vcpu.SSTATUS, registers.word(Vcpu.SSTATUS) & ~SIE)
    registers.setWord(Vcpu.PRIV, 1)
    this.words.request(VcpuRequest.TLB_FLUSH)
    this.mpState = MpState.RUNNABLE
  }

  /** A signal to the vCPU's thread: it leaves the guest soon. */
  signal(): void {
    this.#signalled = true
    this.words.request(VcpuRequest.SIGNAL)
  }

  /** A signal waits for the vCPU's thread. */
  get signalPending(): boolean {
    return this.#signalled
  }

  /** The thread is on its way to user space, where a signal that waits is delivered. */
  takeSignal(): void {
    if (!this.#signalled) return
    this.#signalled = false
    this.words.withdraw(VcpuRequest.SIGNAL)
  }

  /**
   * Runs guest code until the thread rings; returns why (VcpuDoorbell). A stopped hart waits to be started first;
   * `ended` may end that wait: NONE.
   */
  *enter(ended: () => boolean = () => false): KernelTask<number> {
    if (this.mpState !== MpState.RUNNABLE)
      yield {
        at: this.#waiting,
        until: () => this.#signalled || this.mpState === MpState.RUNNABLE || ended(),
      }
    if (this.#signalled) return VcpuDoorbell.SIGNAL
    if (ended()) return VcpuDoorbell.NONE
    this.words.store(Vcpu.COMMAND, VcpuCommand.ENTER)
    this.words.notify(Vcpu.COMMAND)
    yield {
      at: this.#inGuest,
      until: () => this.words.load(Vcpu.DOORBELL) !== VcpuDoorbell.NONE,
    }
    const reason = this.words.load(Vcpu.DOORBELL)
    this.words.store(Vcpu.DOORBELL, VcpuDoorbell.NONE)
    return reason
  }
}
