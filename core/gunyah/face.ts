// Gunyah as its guests and the trace see it.

import type { HypervisorFace } from '../hart/vcpu-thread.ts'

/** Project-own: the SBI specification lists no implementation id for Gunyah. "GUNY" */
const SBI_IMPL_GUNYAH = 0x47554e59

export const gunyahFace: HypervisorFace = {
  sbi: { id: SBI_IMPL_GUNYAH, version: 17 },
  events: {
    entry: 'gunyah_vcpu_entry',
    exit: 'gunyah_vcpu_exit',
    mmio: 'gunyah_vcpu_mmio',
    wakeup: 'gunyah_vcpu_wakeup',
  },
}
