// How large a guest fault maps: 4 KiB, or 2 MiB where everything allows it (kvm_mmu_hugepage_adjust, mmu.c, v7.2).

import type { Pfn } from '../base/units.ts'
import { isLargeFolio } from '../gmem/large-folio.ts'
import { LARGE_LEAF_PAGES } from '../hart/stage2.ts'
import { rangeHasAttributes } from './attributes.ts'
import type { Memslot } from './memslot.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE } from './uapi.ts'
import type { Vm } from './vm.ts'

/** No leaf: there was no memory for a table. */
export const NOT_MAPPED = -1

/** Maps a gfn, and its 2 MiB with it where they fit. Returns the level of its leaf, or NOT_MAPPED. Under mmu_lock. */
export const mapPage = (
  vm: Vm,
  slot: Memslot,
  gfn: number,
  pfn: Pfn,
  writable: boolean,
  isPrivate: boolean,
): number => {
  if (!isPrivate || !fitsLargeLeaf(vm, slot, gfn, pfn))
    return vm.stage2.map(gfn, pfn, writable, isPrivate) ? 0 : NOT_MAPPED
  const offset = gfn % LARGE_LEAF_PAGES
  return vm.stage2.mapLarge(gfn - offset, (pfn - offset) as Pfn, writable, isPrivate) ? 1 : NOT_MAPPED
}

/**
 * The folio is large and as aligned as the gfn, the slot shows all of it, and every gfn of it is private: by attribute
 * (else the 2 MiB are "mixed") and by what the guest declared. Nothing of it may be under invalidation: a fault
 * retries for its own gfn only.
 */
const fitsLargeLeaf = (vm: Vm, slot: Memslot, gfn: number, pfn: Pfn): boolean => {
  if (!isLargeFolio(vm.host.memory.folios, pfn) || pfn % LARGE_LEAF_PAGES !== gfn % LARGE_LEAF_PAGES)
    return false
  const start = gfn - (gfn % LARGE_LEAF_PAGES)
  const end = start + LARGE_LEAF_PAGES
  if (start < slot.baseGfn || end > slot.endGfn || vm.invalidate.touches(start, end)) return false
  if (vm.declared && !vm.declared.isUniform(start, end, true)) return false
  // A folio of a file that tracks the state itself is large only where all of it is private.
  return slot.gmem?.inode.states != null || rangeHasAttributes(vm, start, end, KVM_MEMORY_ATTRIBUTE_PRIVATE)
}
