// KVM as its guests and the trace see it.

import type { HypervisorFace } from '../hart/vcpu-thread.ts'

/** KVM's SBI implementation id, and the version of the Linux it stands for. */
export const kvmFace: HypervisorFace = {
  sbi: { id: 3, version: 0x070200 },
  events: { entry: 'kvm_entry', exit: 'kvm_exit', mmio: 'kvm_mmio', wakeup: 'kvm_vcpu_wakeup' },
}
