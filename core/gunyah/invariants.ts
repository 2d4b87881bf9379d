// The invariants of Gunyah's memory side, with those of host memory itself (gmem/invariants.ts), at rest.
//
//   Y-1 a frame is out of the host's stage 2 if and only if it is lent, or lost: the walk and the folio's mark agree
//   Y-2 what is lent no process maps
//   Y-3 `provided` has an entry for a gfn exactly where the guest's stage 2 has a leaf, of the same frame and kind
//   Y-4 a binding's range of its file is bound to it, and bindings of a VM are disjoint
//   Y-5 a lent frame is in one guest
//   T1 the shared tables say what the bindings say

import type { Pfn } from '../base/units.ts'
import { checkHostMemory, collector, type HypervisorView, type Report } from '../gmem/invariants.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { GunyahSystem } from './system.ts'
import type { GunyahVm } from './vm.ts'

/** Everything that is wrong, as text; empty when all holds. */
export const checkGunyahInvariants = (system: GunyahSystem): string[] => {
  const { violations, report } = collector()
  checkHostMemory(system.host, [gunyahView(system)], false, report)
  checkGunyah(system, report)
  return violations
}

/** What Gunyah has of the host's memory. */
export const gunyahView = ({ vms }: GunyahSystem): HypervisorView => ({
  inodes: [...vms].flatMap((vm) => vm.allBindings.map(({ gmem }) => gmem.inode)),
  forEachLeaf: (visit) => {
    for (const { resources } of vms) resources?.space.stage2.forEachLeaf((_gfn, pfn) => visit(pfn))
  },
  forEachReference: (visit) => {
    for (const vm of vms) for (const gfn of vm.providedGfns(0, 2 ** 52)) visit(provided(vm, gfn).pfn)
  },
})

const provided = (vm: GunyahVm, gfn: number) => {
  const entry = vm.provided.get(gfn)
  if (!entry) throw new Error(`nothing is provided at gfn ${gfn}`)
  return entry
}

export const checkGunyah = (system: GunyahSystem, report: Report): void => {
  checkFrames(system, report)
  const guests = new Map<number, GunyahVm>()
  for (const vm of system.vms) {
    checkProvided(vm, guests, report)
    checkBindings(vm, report)
    if (vm.providedLock.locked) report('L1', `a lock of VM ${vm.row} is held at rest`)
  }
}

/** Y-1, Y-2. */
const checkFrames = ({ host, hypervisor }: GunyahSystem, report: Report): void => {
  const { folios, layout } = host.memory
  for (let n = 0; n < layout.frames; n++) {
    const pfn = n as Pfn
    const reached = hypervisor.hostAccess(pfn, true)
    const away = folios.has(pfn, PG.lent) || folios.type(pfn) === PageType.lost
    if (reached === away) report('Y-1', `frame ${pfn} is ${reached ? '' : 'not '}in the host's stage 2`)
    if (folios.has(pfn, PG.lent) && folios.mapcount[pfn] > 0)
      report('Y-2', `frame ${pfn} is lent and mapped by a process`)
  }
}

/** Y-3, Y-5. */
const checkProvided = (vm: GunyahVm, guests: Map<number, GunyahVm>, report: Report): void => {
  const { folios } = vm.host.memory
  const gfns = new Set(vm.providedGfns(0, 2 ** 52))
  vm.resources?.space.stage2.forEachLeaf((gfn, pfn, writable, isPrivate) => {
    const entry = vm.provided.get(gfn)
    if (!gfns.delete(gfn) || entry?.pfn !== pfn || entry.share === isPrivate)
      report('Y-3', `gfn ${gfn} of VM ${vm.row} shows frame ${pfn}, the driver gave ${entry?.pfn}`)
    if (writable && entry && !entry.write) report('Y-3', `gfn ${gfn} of VM ${vm.row} is writable`)
    if (isPrivate !== folios.has(pfn, PG.lent))
      report('Y-1', `gfn ${gfn} of VM ${vm.row} is ${isPrivate ? 'lent' : 'shared'}, frame ${pfn} is not`)
    if (isPrivate && (guests.get(pfn) ?? vm) !== vm) report('Y-5', `frame ${pfn} is lent to two VMs`)
    guests.set(pfn, vm)
  })
  for (const gfn of gfns) report('Y-3', `gfn ${gfn} of VM ${vm.row} was given a frame and has no leaf`)
}

/** Y-4, T1. */
const checkBindings = (vm: GunyahVm, report: Report): void => {
  for (const [i, binding] of vm.allBindings.entries()) {
    let bound = 0
    const { fileIndex, pages, baseGfn, endGfn } = binding
    binding.gmem.bindings.forRange(fileIndex, fileIndex + pages, (it, from, to) => {
      if (it === binding) bound += to - from
    })
    if (bound !== pages) report('Y-4', `binding ${binding.id} has ${bound} of ${pages} file pages bound`)
    if (i > 0 && vm.allBindings[i - 1].endGfn > baseGfn)
      report('Y-4', `bindings overlap at gfn ${baseGfn} of VM ${vm.row}`)
    if (vm.bindings.get(baseGfn) !== binding || vm.bindings.get(endGfn - 1) !== binding)
      report('Y-4', `binding ${binding.id} of VM ${vm.row} is not in its tree`)
  }
  if (vm.row < 0) return
  const rows = vm.host.memory.tables.readSlots(vm.row)
  const stale =
    rows.length !== vm.allBindings.length || rows.some((row, n) => row.baseGfn !== vm.allBindings[n].baseGfn)
  if (stale) report('T1', `the rows of VM ${vm.row} are stale`)
}
