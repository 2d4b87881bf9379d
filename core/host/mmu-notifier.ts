// MMU notifiers: who else maps a process's memory (KVM's stage 2) hears before and after it changes.
//
// As include/linux/mmu_notifier.h: between start and end no new secondary mapping of the range may appear.

import type { KernelTask } from './kernel-task.ts'

export interface MmuNotifier {
  /** Host addresses [start, end) are about to lose their pages or change. */
  invalidateRangeStart(start: number, end: number): KernelTask<void>
  invalidateRangeEnd(start: number, end: number): KernelTask<void>
}
