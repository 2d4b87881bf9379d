// Where a guest page lies under KVM: its slot, the page of the file, the host's mapping, the frame.

import { PG } from '../host/folio-table.ts'
import type { Process } from '../host/process.ts'
import { isPrivateGfn } from '../kvm/attributes.ts'
import type { Vm } from '../kvm/vm.ts'
import type { GuestPage } from './guest-page.ts'

export const kvmGuestPage = (vm: Vm, process: Process, gfn: number): GuestPage => {
  const slot = vm.slotOf(gfn)
  const isPrivate = isPrivateGfn(vm, gfn)
  const index = slot?.fileIndexOf(gfn) ?? 0
  const inode = slot?.gmem?.inode ?? null
  const gmem = inode ? { inode, index, pfn: inode.folio(index) } : null
  const host = slot ? { hva: slot.hvaOf(gfn), pfn: process.mappedFrame(slot.hvaOf(gfn))?.pfn ?? null } : null
  const leafPfn = vm.stage2.leaf(gfn)?.pfn ?? null
  const fromGmem = isPrivate || (slot?.gmemOnly ?? false)
  const backing = fromGmem ? (gmem?.pfn ?? null) : (host?.pfn ?? null)
  const pfn = leafPfn ?? backing
  const poisoned =
    pfn !== null
      ? process.host.memory.folios.has(pfn, PG.hwpoison)
      : host !== null && !fromGmem && process.isPoisoned(host.hva)
  return {
    slot,
    isPrivate,
    declaredPrivate: vm.declared ? vm.declared.isPrivate(gfn) : isPrivate,
    gmem,
    host,
    leafPfn,
    backing,
    pfn,
    poisoned,
    hostTakes: false,
    stage2: vm.stage2.walk(gfn),
    hostStage2: null,
  }
}
