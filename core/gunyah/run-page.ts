// struct gunyah_vcpu_run: the page a vCPU shares with its VMM (include/uapi/linux/gunyah.h, posted series v17).
//
// Reason SBI is project-own, and its union member with it: docs/gunyah-riscv.md.

import { readU64, writeU64 } from '../base/u64.ts'

export const VcpuExit = {
  UNKNOWN: 0,
  MMIO: 1,
  STATUS: 2,
  PAGE_FAULT: 3,
  /** Project-own: the guest asks to share or unshare memory; the VMM allows it or not. */
  SBI: 0x100,
} as const

/** enum gunyah_vcpu_resume_action: what becomes of the access at the next run. */
export const Resume = { HANDLED: 0, FAULT: 1, RETRY: 2 } as const

/** enum gunyah_vm_status: why a VM runs no more. */
export const VmStatus = { LOAD_FAILED: 1, EXITED: 2, CRASHED: 3 } as const

const IMMEDIATE_EXIT = 0
const EXIT_REASON = 8
const UNION = 16
const MMIO = { address: UNION, data: UNION + 8, length: UNION + 16, write: UNION + 20, resume: UNION + 21 }
const STATUS = { status: UNION, type: UNION + 4, reasonSize: UNION + 8, reason: UNION + 12 }
const PAGE_FAULT = { address: UNION, attempt: UNION + 8, resume: UNION + 12 }
const SBI = { extension: UNION, fid: UNION + 8, args: UNION + 16, resume: UNION + 64 }

/** Bytes of the page that have a meaning. */
export const RUN_PAGE_BYTES = SBI.resume + 1

export class GunyahRun {
  readonly #view: DataView

  /** `page`: the 4 KiB that both sides see. */
  constructor(page: Uint8Array) {
    this.#view = new DataView(page.buffer, page.byteOffset, page.byteLength)
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

  get mmio(): { gpa: number; low: number; high: number; length: number; write: boolean; resume: number } {
    const view = this.#view
    return {
      gpa: readU64(view, MMIO.address),
      low: view.getInt32(MMIO.data, true),
      high: view.getInt32(MMIO.data + 4, true),
      length: view.getUint32(MMIO.length, true),
      write: view.getUint8(MMIO.write) !== 0,
      resume: view.getUint8(MMIO.resume),
    }
  }

  setMmio(gpa: number, length: number, write: boolean, low: number, high: number): void {
    this.exitReason = VcpuExit.MMIO
    writeU64(this.#view, MMIO.address, gpa)
    this.setMmioData(low, high)
    this.#view.setUint32(MMIO.length, length, true)
    this.#view.setUint8(MMIO.write, write ? 1 : 0)
    // Posted as: assume that user space that knows no resume actions has handled it.
    this.#view.setUint8(MMIO.resume, Resume.HANDLED)
  }

  setMmioData(low: number, high: number): void {
    this.#view.setInt32(MMIO.data, low, true)
    this.#view.setInt32(MMIO.data + 4, high, true)
  }

  setMmioResume(action: number): void {
    this.#view.setUint8(MMIO.resume, action)
  }

  get status(): { status: number; type: number; reason: number } {
    return {
      status: this.#view.getUint32(STATUS.status, true),
      type: this.#view.getUint16(STATUS.type, true),
      reason: this.#view.getUint32(STATUS.reason, true),
    }
  }

  setStatus(status: number, type: number, reason: number): void {
    this.exitReason = VcpuExit.STATUS
    this.#view.setUint32(STATUS.status, status, true)
    this.#view.setUint16(STATUS.type, type, true)
    this.#view.setUint32(STATUS.reasonSize, 4, true)
    this.#view.setUint32(STATUS.reason, reason, true)
  }

  /** `attempt`: negative errno of the demand paging that failed. */
  get pageFault(): { gpa: number; attempt: number; resume: number } {
    return {
      gpa: readU64(this.#view, PAGE_FAULT.address),
      attempt: this.#view.getInt32(PAGE_FAULT.attempt, true),
      resume: this.#view.getUint8(PAGE_FAULT.resume),
    }
  }

  setPageFault(gpa: number, attempt: number): void {
    this.exitReason = VcpuExit.PAGE_FAULT
    writeU64(this.#view, PAGE_FAULT.address, gpa)
    this.#view.setInt32(PAGE_FAULT.attempt, attempt, true)
    this.#view.setUint8(PAGE_FAULT.resume, Resume.FAULT)
  }

  setPageFaultResume(action: number): void {
    this.#view.setUint8(PAGE_FAULT.resume, action)
  }

  get sbi(): { extension: number; fid: number; args: readonly [number, number]; resume: number } {
    return {
      extension: readU64(this.#view, SBI.extension),
      fid: readU64(this.#view, SBI.fid),
      args: [readU64(this.#view, SBI.args), readU64(this.#view, SBI.args + 8)],
      resume: this.#view.getUint8(SBI.resume),
    }
  }

  /** The VMM that says nothing has refused. */
  setSbi(extension: number, fid: number, args: readonly [number, number]): void {
    this.exitReason = VcpuExit.SBI
    writeU64(this.#view, SBI.extension, extension)
    writeU64(this.#view, SBI.fid, fid)
    writeU64(this.#view, SBI.args, args[0])
    writeU64(this.#view, SBI.args + 8, args[1])
    this.#view.setUint8(SBI.resume, Resume.FAULT)
  }

  setSbiResume(action: number): void {
    this.#view.setUint8(SBI.resume, action)
  }
}
