// KVM as an MMU notifier: host memory that a memslot shows is about to change, so stage 2 lets go of it.
//
// As kvm_mmu_notifier_invalidate_range_start and _end (virt/kvm/kvm_main.c, v7.2).

import { PAGE_SIZE } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { MmuNotifier } from '../host/mmu-notifier.ts'
import { VmFloat } from '../host/tables.ts'
import type { Memslot } from './memslot.ts'
import type { Vm } from './vm.ts'

const UNMAP: Step = { at: 'kvm_mmu_notifier_invalidate_range_start/unmap' }
const SHARED = { private: false, shared: true }

export class KvmMmuNotifier implements MmuNotifier {
  readonly #vm: Vm

  constructor(vm: Vm) {
    this.#vm = vm
  }

  *invalidateRangeStart(start: number, end: number): KernelTask<void> {
    const vm = this.#vm
    // From here to the end of the pass the slot sets stay as they are, so both halves see the same slots.
    vm.activeInvalidations++
    const slots = this.#overlapping(start, end)
    if (slots.length === 0) return
    vm.host.trace('kvm_unmap_hva_range', start, end)
    yield* vm.mmuLock.lock()
    vm.invalidate.begin()
    for (const slot of slots) vm.invalidate.rangeAdd(...gfns(slot, start, end))
    if (vm.host.scheduler.stepping) yield UNMAP
    let zapped = 0
    for (const slot of slots) zapped += vm.stage2.unmap(...gfns(slot, start, end), SHARED)
    vm.count(VmFloat.ZAPPED, zapped)
    if (zapped > 0) yield* vm.flushRemoteTlbs()
    vm.mmuLock.unlock()
  }

  *invalidateRangeEnd(start: number, end: number): KernelTask<void> {
    const vm = this.#vm
    if (this.#overlapping(start, end).length > 0) {
      yield* vm.mmuLock.lock()
      vm.invalidate.end()
      vm.mmuLock.unlock()
    }
    vm.activeInvalidations--
  }

  #overlapping(start: number, end: number): Memslot[] {
    return this.#vm.slots.sorted.filter(
      (slot) => slot.userspaceAddr < end && start < slot.userspaceAddr + slot.pages * PAGE_SIZE,
    )
  }
}

/** The gfns of a slot that show host addresses [start, end). */
const gfns = (slot: Memslot, start: number, end: number): [number, number] => [
  slot.baseGfn + (Math.max(start, slot.userspaceAddr) - slot.userspaceAddr) / PAGE_SIZE,
  slot.baseGfn + Math.min(slot.pages, Math.ceil((end - slot.userspaceAddr) / PAGE_SIZE)),
]
