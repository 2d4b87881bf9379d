// The host's own stage 2, where a hypervisor runs below it: what every access of the host walks after its page table.

import type { Pfn } from '../base/units.ts'

export interface HostStage2 {
  /** True when the host may load from the frame, or store to it: a walk of the real table. */
  allows(pfn: Pfn, write: boolean): boolean
}
