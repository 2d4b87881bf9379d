// The doorbell's part in KVM (project-own): a page of MMIO through which a guest asks for conversions as with COVG.
//
// Linux user space can make no SBI call, but it can map a page of MMIO. The VMM tells KVM where its doorbell is
// (KVM_CAP_GMEM_DOORBELL). Every access still exits to the VMM as MMIO, who keeps the registers; KVM watches the ones
// that say what the guest asks for, because only KVM may change what the guest has declared. A load of SHARE or
// UNSHARE is the call: KVM checks it as it checks COVG, the VMM decides, and the value loaded is the answer. When it
// is SUCCESS the declared state follows at the start of the next KVM_RUN, with the load's completion.
//
// The registers are banked per vCPU, so KVM and VMM see one vCPU's accesses in one order and agree on what was asked.

import { joinU64 } from '../base/u64.ts'
import type { ConversionRequest } from './sbi-kernel.ts'

/** Byte offsets of the registers that KVM watches; all are 64 bits wide (core/devices/doorbell/registers.ts). */
export const DoorbellCall = { GPA: 0x10, SIZE: 0x18, SHARE: 0x20, UNSHARE: 0x28 } as const

/** Bytes an access to one of them has. */
const WIDTH = 8

/** What one vCPU has stored in its bank. */
export class DoorbellBank {
  #gpa = 0
  #size = 0

  /** A store of `length` bytes at `offset` of the page. */
  store(offset: number, length: number, low: number, high: number): void {
    if (length !== WIDTH) return
    const value = joinU64(low, high)
    if (offset === DoorbellCall.GPA) this.#gpa = value
    else if (offset === DoorbellCall.SIZE) this.#size = value
  }

  /** What a load of `length` bytes at `offset` asks for; null: it asks for nothing. */
  request(offset: number, length: number): ConversionRequest | null {
    if (length !== WIDTH || (offset !== DoorbellCall.SHARE && offset !== DoorbellCall.UNSHARE)) return null
    return { share: offset === DoorbellCall.SHARE, gpa: this.#gpa, size: this.#size }
  }
}
