// The invariants of the memory side, checked over a whole host at rest (no task under way).
//
//   F1 a frame has one owner            F2 a frame somebody maps holds no poison of its former life
//   F3 refcount = page cache + host mappings + pins (stage-2 leaves hold no reference, as in Linux: guestMapcount counts
//      them, and the invalidate sequence keeps them from outliving the page)
//   F4 a large folio is 512 frames of one block at 512 pages of one file, all private, with one entry in its store
//   M1 a stage-2 leaf shows what the slot's backing holds      M2 no host mapping of a private folio
//   M4 a guest_memfd folio is in one VM  S1 slots and bindings are disjoint and agree
//   I1 pages converted in place have a state each, equal neighbours merged, tracked by the inode alone
//   T1 the shared tables say what the kernel's structures say

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { isSharedPage } from '../gmem/attributes.ts'
import { GmemFile } from '../gmem/file.ts'
import { LARGE_PAGES } from '../gmem/folio-tree.ts'
import type { GmemInode } from '../gmem/inode.ts'
import { isLargeFolio } from '../gmem/large-folio.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import { FREE_POISON } from '../host/host-memory.ts'
import { pinnedPages } from '../host/pipe.ts'
import type { Process } from '../host/process.ts'
import { fileIndexAt } from '../host/vma.ts'
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
  const violations: string[] = []
  const report = (rule: string, text: string): void => {
    if (violations.length < 20) violations.push(`${rule}: ${text}`)
  }
  const vms = [...world.vms]
  const inodes = gmemInodes(world.host.processes, vms)
  checkFrames(world, vms, inodes, report)
  for (const inode of inodes) {
    checkStates(inode, report)
    checkLargeFolios(inode, report)
  }
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
const gmemInodes = (processes: Iterable<Process>, vms: readonly Vm[]): Set<GmemInode> => {
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
  { host, poisoned }: World,
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
  for (const process of host.processes) {
    process.forEachPage((page, pfn) => {
      mapped[pfn]++
      const vma = process.vmas.find(page * PAGE_SIZE)
      if (!vma) report('F1', `page ${page} of process ${process.id} is mapped outside every mapping`)
      if (vma?.file instanceof GmemFile && !isSharedPage(vma.file.inode, fileIndexAt(vma, page * PAGE_SIZE)))
        report('M2', `process ${process.id} maps frame ${pfn}, a private page of file ${vma.file.inode.row}`)
    })
  }
  for (const vm of vms) vm.stage2.forEachLeaf((_gfn, pfn) => guest[pfn]++)
  const pinned = new Int32Array(layout.frames)
  for (const pfn of pinnedPages(host)) pinned[pfn]++
  let free = 0
  let corrupted = 0
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
      // memory_failure() keeps a reference to what it marked.
      let expected = cache[pfn] + mapped[pfn] + pinned[pfn] + (folios.has(pfn, PG.hwpoison) ? 1 : 0)
      if (references !== expected) expected += host.lru.references(pfn)
      if (references !== expected)
        report('F3', `frame ${pfn}: refcount ${references}, references ${expected}`)
      if (expected === 0) report('F1', `frame ${pfn} of type ${type} is lost`)
    }
    if (type === PageType.hwpoison) {
      corrupted++
      if (references !== 1 || cache[pfn] || mapped[pfn] || guest[pfn])
        report('F1', `frame ${pfn} had a memory error and is in use`)
    } else if (folios.has(pfn, PG.hwpoison)) corrupted++
    const seen = mapped[pfn] + guest[pfn] > 0 || folios.has(pfn, PG.uptodate)
    if (poisoned && seen && host.memory.frame(pfn).includes(FREE_POISON))
      report('F2', `frame ${pfn} shows what was in it before`)
  }
  if (corrupted !== host.buddy.hardwareCorrupted)
    report('F1', `${corrupted} frames had memory errors, ${host.buddy.hardwareCorrupted} were counted`)
  if (free !== host.buddy.freeFrames)
    report('F1', `${free} frames are free, the allocator has ${host.buddy.freeFrames}`)
}

/** I1: the ranges cover the file, and no two neighbours are equal. */
const checkStates = (inode: GmemInode, report: Report): void => {
  if (!inode.states) return
  let at = 0
  let entries = 0
  let before: string | null = null
  inode.states.forRange(0, inode.pages, (state, start, end) => {
    if (start !== at || end <= start)
      report('I1', `pages ${at} to ${start} of file ${inode.row} have no state`)
    if (state === before)
      report('I1', `page ${start} of file ${inode.row} begins a range of the state before it`)
    before = state
    at = end
    entries++
  })
  if (at !== inode.pages || entries !== inode.states.size)
    report('I1', `the states of file ${inode.row} end at page ${at} of ${inode.pages}`)
}

/** F4. */
const checkLargeFolios = (inode: GmemInode, report: Report): void => {
  const { folios } = inode.host.memory
  const heads = new Map<number, Pfn>()
  inode.forEachFolio(0, inode.pages, (index, pfn) => {
    if (folios.has(pfn, PG.head)) heads.set(index, pfn)
    // The entry of a large folio stands higher in the tree than those of single pages.
    if (isLargeFolio(folios, pfn) !== (inode.folioPath(index).at(-1)?.level ?? 0) > 0)
      report('F4', `page ${index} of file ${inode.row} is large in the store or in its row, not in both`)
  })
  for (const [start, first] of heads) {
    const end = start + LARGE_PAGES
    let fit = 0
    inode.forEachFolio(start, end, (index, pfn) => {
      const uptodate = folios.has(pfn, PG.uptodate) === folios.has(first, PG.uptodate)
      if (pfn - first === index - start && uptodate && !folios.has(pfn, PG.hwpoison)) fit++
    })
    if (start % LARGE_PAGES !== 0 || first % LARGE_PAGES !== 0 || fit !== LARGE_PAGES)
      report('F4', `the large folio at page ${start} of file ${inode.row} is none`)
    if (inode.states ? !inode.states.isUniform(start, end, 'private') : inode.startsShared)
      report('F4', `the large folio at page ${start} of file ${inode.row} is not private`)
  }
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
