// struct kvm_run: the page a vCPU shares with its VMM (include/uapi/linux/kvm.h, 64-bit layout).

import { readU64 } from '../base/u64.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import { ExitReason } from './uapi.ts'
import type { VcpuRegisters } from './vcpu-registers.ts'

export const KvmSystemEvent = { SHUTDOWN: 1, RESET: 2 } as const
export const KVM_INTERNAL_ERROR_EMULATION = 1
/** FAIL_ENTRY reason (project-own; bit 0 is the kernel's KVM_RUN_FAIL_ENTRY no-VS-file): the engine failed. */
export const FAIL_ENTRY_ENGINE = 1 << 1

const IMMEDIATE_EXIT = 1
const EXIT_REASON = 8
const UNION = 32

/** Accessors by field; the offsets are those of the kernel's struct. */
export class KvmRun {
  readonly #view: DataView

  constructor(registers: VcpuRegisters) {
    this.#view = new DataView(
      registers.view.buffer,
      registers.view.byteOffset + Vcpu.KVM_RUN,
      Vcpu.TLB - Vcpu.KVM_RUN,
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
      gpa: readU64(this.#view, UNION),
      low: this.#view.getInt32(UNION + 8, true),
      high: this.#view.getInt32(UNION + 12, true),
      length: this.#view.getUint32(UNION + 16, true),
      write: this.#view.getUint8(UNION + 20) !== 0,
    }
  }

  /** Fills the MMIO exit; `low` and `high` are the stored value, zero for a load. */
  setMmio(gpa: number, length: number, write: boolean, low: number, high: number): void {
    this.exitReason = ExitReason.MMIO
    this.#setU64(UNION, gpa)
    this.setMmioData(low, high)
    this.#view.setUint32(UNION + 16, length, true)
    this.#view.setUint8(UNION + 20, write ? 1 : 0)
  }

  /** The VMM's answer to an MMIO load. */
  setMmioData(low: number, high: number): void {
    this.#view.setInt32(UNION + 8, low, true)
    this.#view.setInt32(UNION + 12, high, true)
  }

  get memoryFault(): { flags: number; gpa: number; size: number } {
    return {
      flags: readU64(this.#view, UNION),
      gpa: readU64(this.#view, UNION + 8),
      size: readU64(this.#view, UNION + 16),
    }
  }

  setMemoryFault(flags: number, gpa: number, size: number): void {
    this.exitReason = ExitReason.MEMORY_FAULT
    this.#setU64(UNION, flags)
    this.#setU64(UNION + 8, gpa)
    this.#setU64(UNION + 16, size)
  }

  get sbi(): { extension: number; fid: number; args: readonly number[] } {
    return {
      extension: readU64(this.#view, UNION),
      fid: readU64(this.#view, UNION + 8),
      args: [0, 1, 2, 3, 4, 5].map((i) => readU64(this.#view, UNION + 16 + 8 * i)),
    }
  }

  setSbi(extension: number, fid: number, args: readonly number[]): void {
    this.exitReason = ExitReason.RISCV_SBI
    this.#setU64(UNION, extension)
    this.#setU64(UNION + 8, fid)
    for (let i = 0; i < 6; i++) this.#setU64(UNION + 16 + 8 * i, args[i])
  }

  /** riscv_sbi.ret: what the VMM puts in a0 and a1. */
  get sbiReturn(): { error: number; value: number } {
    return { error: this.#i64(UNION + 64), value: this.#i64(UNION + 72) }
  }

  setSbiReturn(error: number, value: number): void {
    this.#setU64(UNION + 64, error)
    this.#setU64(UNION + 72, value)
  }

  get systemEvent(): { type: number; data: number } {
    return { type: this.#view.getUint32(UNION, true), data: readU64(this.#view, UNION + 8) }
  }

  setSystemEvent(type: number, data: number): void {
    this.exitReason = ExitReason.SYSTEM_EVENT
    this.#view.setUint32(UNION, type, true)
    this.#view.setUint32(UNION + 4, 1, true)
    this.#setU64(UNION + 8, data)
  }

  setInternalError(suberror: number, data: readonly number[]): void {
    this.exitReason = ExitReason.INTERNAL_ERROR
    this.#view.setUint32(UNION, suberror, true)
    this.#view.setUint32(UNION + 4, data.length, true)
    for (const [i, word] of data.entries()) this.#setU64(UNION + 8 + 8 * i, word)
  }

  setFailEntry(reason: number, cpu: number): void {
    this.exitReason = ExitReason.FAIL_ENTRY
    this.#setU64(UNION, reason)
    this.#view.setUint32(UNION + 8, cpu, true)
  }

  #i64(offset: number): number {
    return this.#view.getInt32(offset + 4, true) * 4294967296 + this.#view.getUint32(offset, true)
  }

  #setU64(offset: number, value: number): void {
    this.#view.setUint32(offset, value >>> 0, true)
    this.#view.setUint32(offset + 4, Math.floor(value / 4294967296) >>> 0, true)
  }
}
