// The built-in VMM: a user program on the emulated host that makes one VM and loads a guest into it.
//
// It speaks only system calls. What it does with them differs by hypervisor: kvm-vmm.ts, gunyah-vmm.ts.

import { PAGE_SIZE } from '../base/units.ts'
import { TIMEBASE_HZ } from '../engine/vcpu-block.ts'
import type { Hart } from '../hart/hart.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { Syscalls } from '../host/syscalls.ts'
import { TRACE_PRIVATE } from '../trace/events.ts'
import type { GuestPage } from './guest-page.ts'
import type { Conversion, GuestRam } from './guest-ram.ts'
import { Pins } from './pins.ts'
import type { GuestPlacement } from './placement.ts'
import type { VcpuEnd, VcpuLoopHooks } from './vcpu-hooks.ts'

export interface VmmOptions {
  readonly ramBytes: number
  readonly vcpus: number
  readonly private: boolean
  /** The machine's clock in ticks. */
  now(): number
}

/** A vCPU as the VMM holds it. */
export interface VmmVcpu {
  readonly fd: number
  readonly vcpu: { readonly id: number; readonly hart: Hart }
}

/** Runs one vCPU until the machine pauses or ends. */
export interface VcpuRunner {
  run(): KernelTask<VcpuEnd>
}

export abstract class Vmm {
  readonly syscalls: Syscalls
  readonly process: Process
  readonly options: VmmOptions
  /** Guest pages that the VMM holds on to. */
  readonly pins: Pins
  /** Conversions the guest asked for that its vCPU has not completed yet: byte ranges. */
  readonly converting = new Set<{ readonly start: number; readonly end: number }>()
  /** Counts what may have cured a fault that a vCPU waits for: a conversion, a punch, an unpin, memory given back. */
  remedies = 0

  constructor(process: Process, options: VmmOptions) {
    this.process = process
    this.syscalls = new Syscalls(process)
    this.pins = new Pins(this.syscalls)
    this.options = options
  }

  /** Creates VM, memory and vCPUs, and loads the guest. Throws VmmError. */
  abstract setUp(placement: GuestPlacement): KernelTask<void>

  abstract get memory(): GuestRam

  abstract get vcpus(): readonly VmmVcpu[]

  /** Row of the VM in the shared tables. */
  abstract get row(): number

  /** What the guest has holds a reference to its folio. */
  abstract get guestHolds(): boolean

  abstract runner(vcpu: number, hooks: VcpuLoopHooks): VcpuRunner

  /** Where a guest page lies. */
  abstract page(gfn: number): GuestPage

  /** The invariants of the memory side that do not hold, as text, with the machine at rest. */
  abstract violations(): string[]

  /** True while a conversion of that page is under way: what the guest declares and what KVM has differ meanwhile. */
  isConverting(gpa: number): boolean {
    for (const { start, end } of this.converting) if (gpa >= start && gpa < end) return true
    return false
  }

  /** One attempt to convert, recorded as asked for by `asker` (Asker). */
  convert(asker: number, gpa: number, size: number, toPrivate: boolean): KernelTask<Conversion> {
    return this.traced(asker, gpa, size, toPrivate, this.memory.convert(gpa, size, toPrivate))
  }

  /** Runs a conversion and records who asked (Asker) and how long it took, whatever came of it. */
  *traced(
    asker: number,
    gpa: number,
    size: number,
    toPrivate: boolean,
    conversion: KernelTask<Conversion>,
  ): KernelTask<Conversion> {
    const started = this.options.now()
    const done = yield* conversion
    const ns = (this.options.now() - started) * (1e9 / TIMEBASE_HZ)
    const to = toPrivate ? TRACE_PRIVATE : 0
    const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
    this.process.host.trace('gmemscope_convert_done', start, end, to, asker, ns, Math.max(0, -done.result))
    if (done.result === 0) this.remedies++
    return done
  }
}
