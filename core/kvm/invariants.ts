// The invariants of the memory side, checked over a whole host at rest (no task under way).
//
//   F1 a frame has one owner            F2 a frame somebody maps holds no poison of its former life
//   F3 refcount = page cache + host mappings (stage-2 leaves hold no reference, as in Linux: guestMapcount counts
//      them, and the invalidate sequence keeps them from outliving the page)
//   M1 a stage-2 leaf shows what the slot's backing holds      M2 no host mapping of a private folio
//   M4 a guest_memfd folio is in one VM  S1 slots and bindings are disjoint and agree
//   T1 the shared tables say what the kernel's structures say

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { GmemFile } from '../gmem/file.ts'
import { GmemFlag, type GmemInode } from '../gmem/inode.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import { FREE_POISON } from '../host/host-memory.ts'
import type { Process } from '../host/process.ts'
import { isPrivateGfn } from './attributes.ts'
import type { Memslot } from './memslot.ts'
import type { Vm } from './vm.ts'

export interface World {
  readonly host: Host
  readonly processes: readonly Process[]
  readonly vms: Iterable<Vm>
  /** The host poisons freed frames, and nobody writes the poison: check F2. */
  readonly poisoned?: boolean
}

/** Everything that is wrong, as text; empty when all holds. */
export const checkInvariants = (world: World): string[] => {
  const violations: string[] = []
  const report = (rule: string, text: string): void => {
    if (violations.length < 20) violations.push(`${rule}: ${text}`)
  }
  const vms = [...world.vms]
  const inodes = gmemInodes(world.processes, vms)
  checkFrames(world, vms, inodes, report)
  for (const vm of vms) {
    checkRest(vm, report)
    checkSlots(vm, report)
    checkLeaves(vm, report)
    checkTables(vm, report)
  }
  checkSharing(vms, report)
  return violations
}

type Report = (rule: string, text: string) => void

/** Every guest_memfd inode that a descriptor, a mapping or a slot reaches. */
const gmemInodes = (processes: readonly Process[], vms: readonly Vm[]): Set<GmemInode> => {
  const inodes = new Set<GmemInode>()
  for (const process of processes) {
    const files = [
      ...process.fds.open().map((fd) => process.fds.getRaw(fd)),
      ...process.vmas.all.map((vma) => vma.file),
    ]
    for (const file of files) if (file instanceof GmemFile) inodes.add(file.inode)
  }
  for (const vm of vms) for (const slot of vm.slots.sorted) if (slot.gmem) inodes.add(slot.gmem.inode)
  return inodes
}

/** F1, F2, F3, M2: every frame against every reference to it. */
const checkFrames = (
  { host, processes, poisoned }: World,
  vms: readonly Vm[],
  inodes: ReadonlySet<GmemInode>,
  report: Report,
): void => {
  const { folios, layout } = host.memory
  const cache = new Uint8Array(layout.frames)
  const mapped = new Int32Array(layout.frames)
  const guest = new Int32Array(layout.frames)
  for (const inode of inodes) {
    let count = 0
    inode.forEachFolio(0, inode.pages, (index, pfn) => {
      count++
      cache[pfn]++
      if (
        folios.type(pfn) !== PageType.gmem ||
        folios.index[pfn] !== index ||
        folios.owner[pfn] !== inode.row >>> 0
      )
        report('F1', `frame ${pfn} is in file ${inode.row} at ${index} but its row says otherwise`)
    })
    const row = host.memory.tables.readFiles().find((file) => file.row === inode.row)
    if (inode.row >= 0 && row?.folios !== count)
      report('T1', `file ${inode.row} has ${count} folios, not ${row?.folios}`)
  }
  for (const process of processes) {
    process.forEachPage((page, pfn) => {
      mapped[pfn]++
      const vma = process.vmas.find(page * PAGE_SIZE)
      if (!vma) report('F1', `page ${page} of process ${process.id} is mapped outside every mapping`)
      if (vma?.file instanceof GmemFile && !(vma.file.inode.flags & GmemFlag.INIT_SHARED))
        report('M2', `process ${process.id} maps frame ${pfn} of a file that is not shared`)
    })
  }
  for (const vm of vms) vm.stage2.forEachLeaf((_gfn, pfn) => guest[pfn]++)
  let free = 0
  for (let n = layout.firstFrame; n < layout.frames; n++) {
    const pfn = n as Pfn
    const type = folios.type(pfn)
    const references = folios.refcount[pfn]
    if (folios.mapcount[pfn] !== mapped[pfn])
      report('F3', `frame ${pfn}: mapcount ${folios.mapcount[pfn]}, mapped ${mapped[pfn]}`)
    if (folios.guestMapcount[pfn] !== guest[pfn])
      report('F3', `frame ${pfn}: guestMapcount ${folios.guestMapcount[pfn]}, leaves ${guest[pfn]}`)
    if (type === PageType.free) {
      free++
      if (references || cache[pfn] || mapped[pfn] || guest[pfn]) report('F1', `free frame ${pfn} is in use`)
    } else if (type === PageType.gmem || type === PageType.anon) {
      if (cache[pfn] > 1) report('F1', `frame ${pfn} is in two places of the page cache`)
      const expected = cache[pfn] + mapped[pfn]
      if (references !== expected)
        report('F3', `frame ${pfn}: refcount ${references}, references ${expected}`)
      if (expected === 0) report('F1', `frame ${pfn} of type ${type} is lost`)
    }
    const seen = mapped[pfn] + guest[pfn] > 0 || folios.has(pfn, PG.uptodate)
    if (poisoned && seen && host.memory.frame(pfn).includes(FREE_POISON))
      report('F2', `frame ${pfn} shows what was in it before`)
  }
  if (free !== host.buddy.freeFrames)
    report('F1', `${free} frames are free, the allocator has ${host.buddy.freeFrames}`)
}

const checkRest = (vm: Vm, report: Report): void => {
  if (vm.invalidate.inProgress !== 0) report('M3', `an invalidation of VM ${vm.row} never ended`)
  if (vm.activeInvalidations !== 0) report('M3', `a notifier pass of VM ${vm.row} never ended`)
  if (vm.slotsLock.locked || vm.mmuLock.locked || vm.slotsArchLock.locked)
    report('L1', `a lock of VM ${vm.row} is held at rest`)
}

const checkSlots = (vm: Vm, report: Report): void => {
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
  vm.stage2.forEachLeaf((gfn, pfn, writable, isPrivate) => {
    leaves++
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
  const expected: { start: number; end: number }[] = []
  vm.attributes.forRange(0, 2 ** 52, (_value, start, end) => {
    const last = expected.at(-1)
    if (last?.end === start) last.end = end
    else expected.push({ start, end })
  })
  if (JSON.stringify(tables.readRanges(vm.row, 'attributes')) !== JSON.stringify(expected))
    report('T1', `the attribute rows of VM ${vm.row} are stale`)
}
