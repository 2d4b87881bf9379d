// What a vCPU's loop tells and asks whoever runs the machine, and how it ends.

import type { MmioBus } from '../devices/mmio-bus.ts'

/** Told about exits that need explaining. */
export interface VmmNotices {
  /** A memory-fault exit over private and shared; `repaired`: the attribute is now what the guest wants. */
  memoryFault(vcpu: number, gpa: number, wantsPrivate: boolean, errno: string, repaired: boolean): void
  /** The policy denied what the guest asked for. */
  refused(vcpu: number, gpa: number, size: number, share: boolean): void
  /** The kernel refused a conversion; `page`: the first that it could not convert. */
  blocked(vcpu: number, gpa: number, size: number, toPrivate: boolean, errno: string, page: number): void
  /** GUNYAH_VCPU_RUN exited for a page fault: demand paging failed with `errno`. */
  pageFault(vcpu: number, gpa: number, errno: string): void
  /** KVM_RUN failed with ENOMEM: no frame is left for the page (null: for a page table). */
  outOfMemory(vcpu: number, gpa: number | null): void
  /** KVM_RUN failed with EHWPOISON. */
  poisoned(vcpu: number, gpa: number | null): void
}

export interface VcpuLoopHooks {
  /** True: return instead of entering the guest again. */
  paused(): boolean
  /** False: refuse what the guest asks for. */
  acceptsConversions(): boolean
  /** A byte that the guest wrote by SBI; false when there is no room. */
  consoleByte(byte: number): boolean
  /** What answers accesses that exit as MMIO. */
  readonly mmio: MmioBus
  readonly notices: VmmNotices
}

/** Why the loop ended. */
export type VcpuEnd =
  | { readonly kind: 'paused' }
  /** The guest asked for it by SBI system reset; `reason` 0 is none, 1 a failure. */
  | { readonly kind: 'shutdown' | 'reset'; readonly reason: number }
  /** KVM_RUN failed, or an exit the VMM cannot serve. */
  | { readonly kind: 'failed'; readonly message: string }
