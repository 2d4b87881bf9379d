// A vCPU thread: waits for commands, runs guest code, and serves what needs shared memory only.
//
// It is the hart and KVM's inner run loop in one (arch/riscv/kvm/vcpu.c, kvm_arch_vcpu_ioctl_run): enter the
// guest; on an exit either handle it here (device registers, timer, IPI, remote fence, WFI) or ring the
// hypervisor worker's doorbell, park, and enter again when told to. The thread never allocates, never talks
// by messages, and while it is parked or halted it counts as outside guest mode.

import { Patience } from '../base/patience.ts'
import type { Engine } from '../engine/engine.ts'
import { Exit, TIMEBASE_HZ, Vcpu } from '../engine/vcpu-block.ts'
import { Header, type HostLayout, vcpuBlock } from '../host/layout.ts'
import { traceEventNumber } from '../trace/events.ts'
import type { TraceRing } from '../trace/ring.ts'
import { decodeMmio, extendLoad } from './mmio.ts'
import { VcpuCommand, VcpuDoorbell, VcpuMode, VcpuRequest, VcpuWords } from './requests.ts'
import { type SbiImplementation, type SbiThreadContext, sbiInThread } from './sbi-thread.ts'
import { VcpuRegisters } from './vcpu-registers.ts'
import { type VcpuStatName, vcpuStatOffset } from './vcpu-stats.ts'

/** Devices whose registers lie in shared memory. Addresses are guest physical, in bytes. */
export interface InKernelDevices {
  owns(gpa: number): boolean
  /** The loaded value, at most 32 bits. */
  load(gpa: number, length: number): number
  store(gpa: number, length: number, value: number): void
}

/** Which hypervisor the hart runs under, as the guest and the trace see it. */
export interface HypervisorFace {
  readonly sbi: SbiImplementation
  /** Names of the trace events for what the thread does itself. */
  readonly events: {
    readonly entry: string
    readonly exit: string
    readonly mmio: string
    readonly wakeup: string
  }
}

export interface VcpuThreadOptions {
  readonly face: HypervisorFace
  readonly buffer: SharedArrayBuffer
  readonly layout: HostLayout
  /** Hart id. */
  readonly index: number
  readonly vcpuCount: number
  readonly engine: Engine
  readonly devices: InKernelDevices
  /** The machine's clock, in ticks of TIMEBASE_HZ. */
  readonly now: () => number
  readonly trace: TraceRing
  /** Processor cores of the real machine. */
  readonly cores: number
}

const STIP = 1 << 5
const TICKS_PER_US = TIMEBASE_HZ / 1e6
/** Loads between two looks at the clock, and all there are when cores are short. */
const SPINS = 500
const MAX_HALT_MS = 60_000

export class VcpuThread {
  readonly #o: VcpuThreadOptions
  readonly #words: VcpuWords
  readonly #registers: VcpuRegisters
  readonly #header: Int32Array
  readonly #sbi: SbiThreadContext
  readonly #patience = new Patience()
  /** Numbers of the trace events. */
  readonly #events: { entry: number; exit: number; mmio: number; wakeup: number }

  constructor(options: VcpuThreadOptions) {
    const { buffer, layout, index, vcpuCount, face } = options
    this.#o = options
    this.#words = new VcpuWords(buffer, vcpuBlock(layout, index))
    this.#registers = new VcpuRegisters(buffer, vcpuBlock(layout, index))
    this.#header = new Int32Array(buffer, 0, 1024)
    this.#events = {
      entry: traceEventNumber(face.events.entry),
      exit: traceEventNumber(face.events.exit),
      mmio: traceEventNumber(face.events.mmio),
      wakeup: traceEventNumber(face.events.wakeup),
    }
    this.#sbi = {
      implementation: face.sbi,
      registers: this.#registers,
      vcpus: Array.from({ length: vcpuCount }, (_, hart) => new VcpuWords(buffer, vcpuBlock(layout, hart))),
      halt: () => this.#halt(),
    }
  }

  /** Serves commands for ever; blocks its thread, which ends with the machine's. */
  loop(): never {
    for (;;) this.serve(this.#awaitCommand())
  }

  /** Serves one VcpuCommand and rings when it is done. */
  serve(command: number): void {
    if (command === VcpuCommand.RESET) {
      this.#o.engine.reset()
      this.#doorbell(VcpuDoorbell.RESET)
    } else this.#doorbell(this.#runGuest())
  }

  #awaitCommand(): number {
    const { words } = this.#words
    const patient = this.#o.now() + (this.#hasCoreToSpare() ? this.#patience.micros * TICKS_PER_US : 0)
    do {
      for (let spin = 0; spin < SPINS; spin++)
        if (this.#words.load(Vcpu.COMMAND) !== VcpuCommand.NONE) {
          this.#patience.caught()
          return Atomics.exchange(words, Vcpu.COMMAND >> 2, VcpuCommand.NONE)
        }
    } while (this.#o.now() < patient)
    const parked = this.#o.now()
    while (this.#words.load(Vcpu.COMMAND) === VcpuCommand.NONE)
      Atomics.wait(words, Vcpu.COMMAND >> 2, VcpuCommand.NONE)
    this.#patience.parked((this.#o.now() - parked) / TICKS_PER_US)
    return Atomics.exchange(words, Vcpu.COMMAND >> 2, VcpuCommand.NONE)
  }

  /** This thread and the hypervisor's take a core each; the other vCPUs in guest mode one each. */
  #hasCoreToSpare(): boolean {
    let running = 0
    for (const vcpu of this.#sbi.vcpus) if (vcpu.load(Vcpu.MODE) === VcpuMode.IN_GUEST_MODE) running++
    return running + 2 <= this.#o.cores
  }

  #doorbell(reason: number): void {
    this.#words.store(Vcpu.DOORBELL, reason)
    Atomics.add(this.#header, Header.DOORBELL, 1)
    if (Atomics.load(this.#header, Header.DOORBELL_PARKED)) Atomics.notify(this.#header, Header.DOORBELL)
  }

  /** Runs the guest until the hypervisor worker is needed; returns why. */
  #runGuest(): number {
    const words = this.#words
    this.#trace(this.#events.entry, this.#registers.number(Vcpu.PC))
    for (;;) {
      words.store(Vcpu.POLL, 0)
      words.store(Vcpu.MODE, VcpuMode.IN_GUEST_MODE)
      if (words.load(Vcpu.REQUESTS) !== 0) {
        words.store(Vcpu.MODE, VcpuMode.OUTSIDE_GUEST_MODE)
        if (this.#serveRequests()) return VcpuDoorbell.SIGNAL
        continue
      }
      const exit = this.#enter()
      words.store(Vcpu.MODE, VcpuMode.OUTSIDE_GUEST_MODE)
      if (exit === null) return VcpuDoorbell.FAILED
      if (exit === Exit.POLL) {
        this.#count('poll_exits')
        continue
      }
      this.#count('exits')
      if (!this.#handle(exit)) return VcpuDoorbell.EXIT
    }
  }

  /** Runs guest code; null when the engine itself failed, which is a bug in it and must not end the thread. */
  #enter(): number | null {
    try {
      return this.#o.engine.run()
    } catch {
      return null
    }
  }

  /** Serves pending requests; true when KVM_RUN must return with EINTR. */
  #serveRequests(): boolean {
    const served = this.#words.load(Vcpu.REQUESTS)
    // The caches are dropped before the bits are cleared: a cleared bit says that it has happened.
    if (served & (VcpuRequest.TLB_FLUSH | VcpuRequest.FENCE_I)) this.#o.engine.flushTlb()
    Atomics.and(this.#words.words, Vcpu.REQUESTS >> 2, ~served)
    return (served & VcpuRequest.SIGNAL) !== 0
  }

  /** True when the exit was served here and the guest can go on. */
  #handle(exit: number): boolean {
    this.#traceExit(exit)
    switch (exit) {
      case Exit.LOAD_GUEST_PAGE_FAULT:
      case Exit.STORE_GUEST_PAGE_FAULT:
        return this.#deviceAccess()
      case Exit.VS_ECALL:
        this.#count('ecall_exit_stat')
        if (!sbiInThread(this.#sbi)) return false
        this.#registers.advancePc(4)
        return true
      case Exit.VIRTUAL_INSTRUCTION:
        this.#count('wfi_exit_stat')
        this.#halt()
        this.#registers.advancePc(4)
        return true
      default:
        return false
    }
  }

  #deviceAccess(): boolean {
    const registers = this.#registers
    const gpa = registers.number(Vcpu.EXIT_GPA)
    if (!this.#o.devices.owns(gpa)) return false
    const instruction = registers.word(Vcpu.EXIT_INSN)
    const opcode = instruction & 0x7f
    // An access the decoder does not know (an AMO on a device) goes the slow way and fails there.
    if (opcode !== 0x03 && opcode !== 0x23) return false
    const access = decodeMmio(instruction)
    this.#count('mmio_exit_kernel')
    if (access.write) {
      const value = registers.xLow(access.register)
      this.#o.devices.store(gpa, access.length, value)
      this.#trace(this.#events.mmio, 2, access.length, gpa, value >>> 0)
    } else {
      const value = this.#o.devices.load(gpa, access.length)
      const [low, high] = extendLoad(access, value, 0)
      registers.setXPair(access.register, low, high)
      this.#trace(this.#events.mmio, 1, access.length, gpa, value >>> 0)
    }
    registers.advancePc(registers.word(Vcpu.EXIT_INSN_LEN))
    return true
  }

  /** WFI: sleeps until an enabled interrupt is pending, the timer is due, or a request comes in. */
  #halt(): void {
    const words = this.#words
    const start = this.#o.now()
    words.store(Vcpu.HALTED, 1)
    for (;;) {
      const wake = words.load(Vcpu.WAKE)
      if (words.load(Vcpu.REQUESTS) !== 0) break
      const enabled = this.#registers.word(Vcpu.SIE)
      if (words.load(Vcpu.PENDING) & enabled) break
      const left = enabled & STIP ? this.#ticksToTimer() : Number.POSITIVE_INFINITY
      if (left <= 0) break
      const timeout = Math.min((left * 1000) / TIMEBASE_HZ, MAX_HALT_MS)
      Atomics.wait(words.words, Vcpu.WAKE >> 2, wake, timeout)
    }
    words.store(Vcpu.HALTED, 0)
    this.#count('halt_wakeup')
    this.#trace(this.#events.wakeup, ((this.#o.now() - start) * 1e9) / TIMEBASE_HZ, 1, 1)
  }

  #ticksToTimer(): number {
    const registers = this.#registers
    return registers.number(Vcpu.STIMECMP) - (this.#o.now() + registers.float(Vcpu.TIME_DELTA))
  }

  #count(stat: VcpuStatName): void {
    this.#registers.addFloat(vcpuStatOffset(stat), 1)
  }

  #traceExit(exit: number): void {
    const registers = this.#registers
    const fault = exit >= Exit.FETCH_GUEST_PAGE_FAULT && exit !== Exit.VIRTUAL_INSTRUCTION
    this.#trace(
      this.#events.exit,
      registers.number(Vcpu.PC),
      exit,
      fault ? registers.number(Vcpu.EXIT_STVAL) : 0,
      fault ? registers.number(Vcpu.EXIT_GPA) / 4 : 0,
      fault ? registers.word(Vcpu.EXIT_INSN) >>> 0 : 0,
    )
  }

  #trace(event: number, a = 0, b = 0, c = 0, d = 0, e = 0): void {
    const micros = (this.#o.now() * 1e6) / TIMEBASE_HZ
    this.#o.trace.write(event, this.#o.index + 1, micros, a, b, c, d, e)
  }
}
