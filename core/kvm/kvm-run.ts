// struct kvm_run: the page a vCPU shares with its VMM (include/uapi/linux/kvm.h, 64-bit layout).

import { readU64 } from '../base/u64.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import type { VcpuRegisters } from '../hart/vcpu-registers.ts'
import { ExitReason } from './uapi.ts'
import { layouts } from './uapi-layouts.ts'

export const KvmSystemEvent = { SHUTDOWN: 1, RESET: 2 } as const
export const KVM_INTERNAL_ERROR_EMULATION = 1
/** FAIL_ENTRY reason (project-own; bit 0 is the kernel's KVM_RUN_FAIL_ENTRY no-VS-file): the engine failed. */
export const FAIL_ENTRY_ENGINE = 1 << 1

const { fields } = layouts.kvm_run
/** KVM_EXIT_HYPERCALL_LONG_MODE. */
const HYPERCALL_LONG_MODE = 1

/** Offset of a field. */
const at = (name: keyof typeof fields): number => fields[name][0]

const IMMEDIATE_EXIT = at('immediate_exit')
const EXIT_REASON = at('exit_reason')
const MMIO_ADDRESS = at('mmio.phys_addr')
const MMIO_DATA = at('mmio.data')
const MMIO_LENGTH = at('mmio.len')
const MMIO_WRITE = at('mmio.is_write')
const FAULT_FLAGS = at('memory_fault.flags')
const FAULT_GPA = at('memory_fault.gpa')
const FAULT_SIZE = at('memory_fault.size')
const HYPERCALL_NUMBER = at('hypercall.nr')
const HYPERCALL_ARGS = at('hypercall.args')
const HYPERCALL_RETURN = at('hypercall.ret')
const HYPERCALL_FLAGS = at('hypercall.flags')
const SBI_EXTENSION = at('riscv_sbi.extension_id')
const SBI_FUNCTION = at('riscv_sbi.function_id')
const SBI_ARGS = at('riscv_sbi.args')
const SBI_RETURN = at('riscv_sbi.ret')
const EVENT_TYPE = at('system_event.type')
const EVENT_COUNT = at('system_event.ndata')
const EVENT_DATA = at('system_event.data')
const INTERNAL_SUBERROR = at('internal.suberror')
const INTERNAL_COUNT = at('internal.ndata')
const INTERNAL_DATA = at('internal.data')
const FAIL_ENTRY_REASON = at('fail_entry.hardware_entry_failure_reason')
const FAIL_ENTRY_CPU = at('fail_entry.cpu')

/** Accessors by field; the offsets are those of the kernel's struct. */
export class KvmRun {
  readonly #view: DataView

  constructor(registers: VcpuRegisters) {
    this.#view = new DataView(
      registers.view.buffer,
      registers.view.byteOffset + Vcpu.RUN_PAGE,
      Vcpu.TLB - Vcpu.RUN_PAGE,
    )
  }

  get immediateExit(): boolean {
    return this.#view.getUint8(IMMEDIATE_EXIT) !== 0
  }

  set immediateExit(value: boolean) {
    this.#view.setUint8(IMMEDIATE_EXIT, value ? 1 : 0)
  }

  get exitReason(): number {
    return this.#view.getUint32(EXIT_REASON, true)
  }

  set exitReason(reason: number) {
    this.#view.setUint32(EXIT_REASON, reason, true)
  }

  get mmio(): { gpa: number; length: number; write: boolean; low: number; high: number } {
    return {
      gpa: readU64(this.#view, MMIO_ADDRESS),
      low: this.#view.getInt32(MMIO_DATA, true),
      high: this.#view.getInt32(MMIO_DATA + 4, true),
      length: this.#view.getUint32(MMIO_LENGTH, true),
      write: this.#view.getUint8(MMIO_WRITE) !== 0,
    }
  }

  /** Fills the MMIO exit; `low` and `high` are the stored value, zero for a load. */
  setMmio(gpa: number, length: number, write: boolean, low: number, high: number): void {
    this.exitReason = ExitReason.MMIO
    this.#setU64(MMIO_ADDRESS, gpa)
    this.setMmioData(low, high)
    this.#view.setUint32(MMIO_LENGTH, length, true)
    this.#view.setUint8(MMIO_WRITE, write ? 1 : 0)
  }

  /** The VMM's answer to an MMIO load. */
  setMmioData(low: number, high: number): void {
    this.#view.setInt32(MMIO_DATA, low, true)
    this.#view.setInt32(MMIO_DATA + 4, high, true)
  }

  get memoryFault(): { flags: number; gpa: number; size: number } {
    return {
      flags: readU64(this.#view, FAULT_FLAGS),
      gpa: readU64(this.#view, FAULT_GPA),
      size: readU64(this.#view, FAULT_SIZE),
    }
  }

  setMemoryFault(flags: number, gpa: number, size: number): void {
    this.exitReason = ExitReason.MEMORY_FAULT
    this.#setU64(FAULT_FLAGS, flags)
    this.#setU64(FAULT_GPA, gpa)
    this.#setU64(FAULT_SIZE, size)
  }

  get hypercall(): { number: number; args: readonly number[] } {
    return {
      number: readU64(this.#view, HYPERCALL_NUMBER),
      args: [0, 1, 2, 3, 4, 5].map((i) => readU64(this.#view, HYPERCALL_ARGS + 8 * i)),
    }
  }

  /** Fills the hypercall exit; the answer is preset to 0, which VMMs count on. */
  setHypercall(number: number, args: readonly number[]): void {
    this.exitReason = ExitReason.HYPERCALL
    this.#setU64(HYPERCALL_NUMBER, number)
    for (let i = 0; i < 6; i++) this.#setU64(HYPERCALL_ARGS + 8 * i, args[i] ?? 0)
    this.#setU64(HYPERCALL_RETURN, 0)
    this.#setU64(HYPERCALL_FLAGS, HYPERCALL_LONG_MODE)
  }

  /** hypercall.ret: what the VMM answers, 0 or a negative errno. */
  get hypercallReturn(): number {
    return this.#i64(HYPERCALL_RETURN)
  }

  setHypercallReturn(value: number): void {
    this.#setU64(HYPERCALL_RETURN, value)
  }

  get sbi(): { extension: number; fid: number; args: readonly number[] } {
    return {
      extension: readU64(this.#view, SBI_EXTENSION),
      fid: readU64(this.#view, SBI_FUNCTION),
      args: [0, 1, 2, 3, 4, 5].map((i) => readU64(this.#view, SBI_ARGS + 8 * i)),
    }
  }

  setSbi(extension: number, fid: number, args: readonly number[]): void {
    this.exitReason = ExitReason.RISCV_SBI
    this.#setU64(SBI_EXTENSION, extension)
    this.#setU64(SBI_FUNCTION, fid)
    for (let i = 0; i < 6; i++) this.#setU64(SBI_ARGS + 8 * i, args[i])
  }

  /** riscv_sbi.ret: what the VMM puts in a0 and a1. */
  get sbiReturn(): { error: number; value: number } {
    return { error: this.#i64(SBI_RETURN), value: this.#i64(SBI_RETURN + 8) }
  }

  setSbiReturn(error: number, value: number): void {
    this.#setU64(SBI_RETURN, error)
    this.#setU64(SBI_RETURN + 8, value)
  }

  get systemEvent(): { type: number; data: number } {
    return { type: this.#view.getUint32(EVENT_TYPE, true), data: readU64(this.#view, EVENT_DATA) }
  }

  setSystemEvent(type: number, data: number): void {
    this.exitReason = ExitReason.SYSTEM_EVENT
    this.#view.setUint32(EVENT_TYPE, type, true)
    this.#view.setUint32(EVENT_COUNT, 1, true)
    this.#setU64(EVENT_DATA, data)
  }

  setInternalError(suberror: number, data: readonly number[]): void {
    this.exitReason = ExitReason.INTERNAL_ERROR
    this.#view.setUint32(INTERNAL_SUBERROR, suberror, true)
    this.#view.setUint32(INTERNAL_COUNT, data.length, true)
    for (const [i, word] of data.entries()) this.#setU64(INTERNAL_DATA + 8 * i, word)
  }

  setFailEntry(reason: number, cpu: number): void {
    this.exitReason = ExitReason.FAIL_ENTRY
    this.#setU64(FAIL_ENTRY_REASON, reason)
    this.#view.setUint32(FAIL_ENTRY_CPU, cpu, true)
  }

  #i64(offset: number): number {
    return this.#view.getInt32(offset + 4, true) * 4294967296 + this.#view.getUint32(offset, true)
  }

  #setU64(offset: number, value: number): void {
    this.#view.setUint32(offset, value >>> 0, true)
    this.#view.setUint32(offset + 4, Math.floor(value / 4294967296) >>> 0, true)
  }
}
