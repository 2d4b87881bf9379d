// The invariants of KVM's memory side, checked over a whole host at rest (no task under way), with those of the memory
// itself (gmem/invariants.ts).
//
//   M1 a stage-2 leaf shows what the slot's backing holds      M3 no invalidation is left open
//   M4 a guest_memfd folio is in one VM  S1 slots and bindings are disjoint and agree
//   I1 either the inode or the VM tracks what is private
//   T1 the shared tables say what the kernel's structures say

import { checkHostMemory, collector, type HypervisorView, type Report } from '../gmem/invariants.ts'
import { isLargeFolio } from '../gmem/large-folio.ts'
import { PageType } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import { isPrivateGfn } from './attributes.ts'
import type { Memslot } from './memslot.ts'
import { privateGfns } from './page-states.ts'
import type { Vm } from './vm.ts'

export interface World {
  readonly host: Host
  readonly vms: Iterable<Vm>
  /** The host poisons freed frames, and nobody writes the poison: check F2. */
  readonly poisoned?: boolean
}

/** Everything that is wrong, as text; empty when all holds. */
export const checkInvariants = (world: World): string[] => {
  const { violations, report } = collector()
  const vms = [...world.vms]
  checkHostMemory(world.host, [kvmView(vms)], world.poisoned ?? false, report)
  checkVms(vms, report)
  return violations
}

/** What KVM has of the host's memory. */
export const kvmView = (vms: readonly Vm[]): HypervisorView => ({
  inodes: vms.flatMap((vm) => vm.slots.sorted.flatMap(({ gmem }) => (gmem ? [gmem.inode] : []))),
  forEachLeaf: (visit) => {
    for (const vm of vms) vm.stage2.forEachLeaf((_gfn, pfn) => visit(pfn))
  },
})

/** M1, M3, M4, S1, I1, L1, T1 of KVM's own structures. */
export const checkVms = (vms: readonly Vm[], report: Report): void => {
  for (const vm of vms) {
    checkRest(vm, report)
    checkSlots(vm, report)
    checkLeaves(vm, report)
    checkTables(vm, report)
  }
  checkSharing(vms, report)
}

const checkRest = (vm: Vm, report: Report): void => {
  if (vm.invalidate.inProgress !== 0) report('M3', `an invalidation of VM ${vm.row} never ended`)
  if (vm.activeInvalidations !== 0) report('M3', `a notifier pass of VM ${vm.row} never ended`)
  if (vm.slotsLock.locked || vm.mmuLock.locked || vm.slotsArchLock.locked)
    report('L1', `a lock of VM ${vm.row} is held at rest`)
}

const checkSlots = (vm: Vm, report: Report): void => {
  if (vm.profile.inPlaceConversion && !vm.attributes.empty)
    report('I1', `VM ${vm.row} has attributes of its own beside those of its files`)
  for (const { gmem } of vm.slots.sorted)
    if (gmem && (gmem.inode.states !== null) !== vm.profile.inPlaceConversion)
      report('I1', `file ${gmem.inode.row} and VM ${vm.row} disagree about who tracks attributes`)
  const slots = vm.slots.sorted
  const other = vm.inactiveSlots.sorted
  if (slots.length !== other.length || slots.some((slot, i) => slot !== other[i]))
    report('S1', `the two slot sets of VM ${vm.row} differ`)
  for (const [i, slot] of slots.entries()) {
    if (slot.invalid) report('S1', `slot ${slot.id} is INVALID at rest`)
    if (i > 0 && slots[i - 1].endGfn > slot.baseGfn)
      report('S1', `slots ${slots[i - 1].id} and ${slot.id} overlap`)
    if (slot.gmem) checkBinding(slot, report)
  }
  const files = new Set(slots.flatMap((slot) => (slot.gmem ? [slot.gmem] : [])))
  for (const file of files)
    file.bindings.forRange(0, file.inode.pages, (bound) => {
      if (!slots.includes(bound))
        report('S1', `file ${file.inode.row} is bound to slot ${bound.id}, which is gone`)
    })
}

const checkBinding = (slot: Memslot, report: Report): void => {
  let covered = 0
  slot.gmem?.bindings.forRange(slot.fileIndex, slot.fileIndex + slot.pages, (bound, from, to) => {
    if (bound === slot) covered += to - from
  })
  if (covered !== slot.pages) report('S1', `slot ${slot.id} has ${covered} of ${slot.pages} file pages bound`)
}

/** M1. */
const checkLeaves = (vm: Vm, report: Report): void => {
  let leaves = 0
  vm.stage2.forEachLeaf((gfn, pfn, writable, isPrivate, level) => {
    leaves++
    if (level > 0 && !isLargeFolio(vm.host.memory.folios, pfn))
      report('F4', `gfn ${gfn} is part of a 2 MiB leaf, frame ${pfn} of a small folio`)
    const slot = vm.slotOf(gfn)
    if (!slot) return report('M1', `gfn ${gfn} is mapped without a slot`)
    if (isPrivate !== isPrivateGfn(vm, gfn))
      report('M1', `gfn ${gfn} is mapped as ${isPrivate ? 'private' : 'shared'}`)
    if (isPrivate || slot.gmemOnly) {
      const folio = slot.gmem?.inode.folio(slot.fileIndexOf(gfn)) ?? null
      if (folio !== pfn) report('M1', `gfn ${gfn} shows frame ${pfn}, the file holds ${folio}`)
    } else {
      const host = vm.process.mappedFrame(slot.hvaOf(gfn))
      if (host?.pfn !== pfn) report('M1', `gfn ${gfn} shows frame ${pfn}, the process maps ${host?.pfn}`)
      if (writable && !host?.writable) report('M1', `gfn ${gfn} is writable, the process's page is not`)
    }
    if (writable && slot.readonly) report('M1', `gfn ${gfn} of a read-only slot is writable`)
    if (writable && slot.dirtyBitmap && !slot.dirtyBitmap.has(gfn - slot.baseGfn))
      report('K14', `gfn ${gfn} is writable and not in the dirty log`)
  })
  if (leaves !== vm.stage2.mapped)
    report('M1', `VM ${vm.row} has ${leaves} leaves, counted ${vm.stage2.mapped}`)
}

/** M4. */
const checkSharing = (vms: readonly Vm[], report: Report): void => {
  const owner = new Map<number, Vm>()
  for (const vm of vms)
    vm.stage2.forEachLeaf((_gfn, pfn) => {
      if (vm.host.memory.folios.type(pfn) !== PageType.gmem) return
      const first = owner.get(pfn) ?? vm
      if (first !== vm) report('M4', `frame ${pfn} is mapped into VMs ${first.row} and ${vm.row}`)
      owner.set(pfn, first)
    })
}

/** T1. */
const checkTables = (vm: Vm, report: Report): void => {
  if (vm.row < 0) return
  const { tables } = vm.host.memory
  const rows = tables.readSlots(vm.row)
  const same =
    rows.length === vm.slots.sorted.length &&
    vm.slots.sorted.every(
      (slot, i) => rows[i].id === slot.id && rows[i].baseGfn === slot.baseGfn && rows[i].file === slot.file,
    )
  if (!same) report('T1', `the slot rows of VM ${vm.row} are stale`)
  const expected = vm.profile.inPlaceConversion ? privateGfns(vm) : attributeRanges(vm)
  if (JSON.stringify(tables.readRanges(vm.row, 'attributes')) !== JSON.stringify(expected))
    report('T1', `the attribute rows of VM ${vm.row} are stale`)
}

/** The gfns that the VM's attributes make private, merged. */
const attributeRanges = (vm: Vm): { start: number; end: number }[] => {
  const ranges: { start: number; end: number }[] = []
  vm.attributes.forRange(0, 2 ** 52, (_value, start, end) => {
    const last = ranges.at(-1)
    if (last?.end === start) last.end = end
    else ranges.push({ start, end })
  })
  return ranges
}
