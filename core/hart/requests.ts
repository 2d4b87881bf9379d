// vCPU requests and kicks: how a thread makes vCPUs leave guest mode, and waits until they have.
//
// KVM's protocol (virt/kvm/kvm_main.c, kvm_make_vcpus_request_mask) over the vCPU blocks:
//   requester: set the request bit, then load the mode; IN_GUEST_MODE -> set the poll word and wait
//   vCPU:      clear the poll word, store IN_GUEST_MODE, then load the requests; any -> serve them first
// Every access is sequentially consistent, so one of the two always sees the other. A vCPU that is outside
// guest mode needs no waiting for: it serves its requests before it enters. That is also why two vCPUs that
// fence each other cannot deadlock: whoever waits is outside.

import { Vcpu } from '../engine/vcpu-block.ts'
import type { KernelTask } from '../host/kernel-task.ts'

export const VcpuMode = { OUTSIDE_GUEST_MODE: 0, IN_GUEST_MODE: 1, EXITING_GUEST_MODE: 2 } as const

/** Request bits (KVM_REQ_*). */
export const VcpuRequest = {
  /** Drop every translation: stage 2 changed, or another hart asked for sfence.vma. */
  TLB_FLUSH: 1 << 0,
  /** Drop cached code: another hart asked for fence.i. */
  FENCE_I: 1 << 1,
  /** Return from KVM_RUN with EINTR (a signal to the vCPU's thread). */
  SIGNAL: 1 << 2,
} as const

/** What the hypervisor worker tells a vCPU thread. */
export const VcpuCommand = {
  NONE: 0,
  ENTER: 1,
  /** The block was cleared: prepare it as at the start. */
  RESET: 2,
} as const

/** What a vCPU thread tells the hypervisor worker. */
export const VcpuDoorbell = {
  NONE: 0,
  /** A trap the thread cannot serve from shared memory: see EXIT_SCAUSE. */
  EXIT: 1,
  /** It left the guest because of a SIGNAL request. */
  SIGNAL: 2,
  /** The reset is done. */
  RESET: 3,
  /** The engine failed: no guest instruction can be run. */
  FAILED: 4,
} as const

/** The shared words of one vCPU block, by name. */
export class VcpuWords {
  readonly words: Int32Array

  constructor(buffer: SharedArrayBuffer, block: number) {
    this.words = new Int32Array(buffer, block, Vcpu.RUN_PAGE >> 2)
  }

  load(offset: number): number {
    return Atomics.load(this.words, offset >> 2)
  }

  store(offset: number, value: number): void {
    Atomics.store(this.words, offset >> 2, value)
  }

  notify(offset: number): void {
    Atomics.notify(this.words, offset >> 2)
  }

  /** Makes the vCPU look at its requests and interrupts soon: leaves wasm, or wakes from WFI. */
  kick(): void {
    if (this.load(Vcpu.MODE) === VcpuMode.IN_GUEST_MODE) this.store(Vcpu.POLL, 1)
    Atomics.add(this.words, Vcpu.WAKE >> 2, 1)
    if (this.load(Vcpu.HALTED)) this.notify(Vcpu.WAKE)
  }

  /** Sets request bits and kicks. */
  request(bits: number): void {
    Atomics.or(this.words, Vcpu.REQUESTS >> 2, bits)
    this.kick()
  }

  /** Takes request bits back that nobody has served; the vCPU must be outside guest mode. */
  withdraw(bits: number): void {
    Atomics.and(this.words, Vcpu.REQUESTS >> 2, ~bits)
  }

  /** True when no guest instruction can run any more without the request having been served. */
  acknowledged(bits: number): boolean {
    return this.load(Vcpu.MODE) !== VcpuMode.IN_GUEST_MODE || (this.load(Vcpu.REQUESTS) & bits) === 0
  }

  /** Sets or clears interrupt bits as in sip, and kicks when one was raised. */
  setPending(bits: number, level: boolean): void {
    if (level) {
      const before = Atomics.or(this.words, Vcpu.PENDING >> 2, bits)
      if ((before & bits) !== bits) this.kick()
    } else Atomics.and(this.words, Vcpu.PENDING >> 2, ~bits)
  }
}

/** kvm_flush_remote_tlbs: after it, no vCPU uses a translation it held before. */
export function* flushRemoteTlbs(vcpus: readonly VcpuWords[]): KernelTask<void> {
  for (const vcpu of vcpus) vcpu.request(VcpuRequest.TLB_FLUSH)
  for (const vcpu of vcpus) {
    if (vcpu.acknowledged(VcpuRequest.TLB_FLUSH)) continue
    yield {
      at: 'kvm_flush_remote_tlbs/wait_ack',
      until: () => vcpu.acknowledged(VcpuRequest.TLB_FLUSH),
    }
  }
}

const SPINS = 4000
const RECHECK_MS = 1

/** The same wait from a vCPU thread (which is outside guest mode while it waits, so it blocks nobody). */
export const requestAndWait = (targets: readonly VcpuWords[], bits: number): void => {
  for (const target of targets) target.request(bits)
  for (const target of targets) {
    for (let spin = 0; !target.acknowledged(bits); spin++) {
      if (spin > SPINS) Atomics.wait(target.words, Vcpu.MODE >> 2, VcpuMode.IN_GUEST_MODE, RECHECK_MS)
    }
  }
}
