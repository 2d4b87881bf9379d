// The invariants of host memory and guest memory files, whichever hypervisors run: every frame against every reference.
//
//   F1 a frame has one owner            F2 a frame somebody maps holds no poison of its former life
//   F3 refcount = page cache + host mappings + pins + what a hypervisor says it holds (KVM's stage-2 leaves hold no
//      reference, as in Linux; guestMapcount counts them)
//   F4 a large folio is 512 frames of one block at 512 pages of one file, all private, with one entry in its store
//   M2 no host mapping of a private folio
//   I1 pages converted in place have a state each, equal neighbours merged
//   T1 the file rows of the shared tables say what the files hold

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { PageType, PG } from '../host/folio-table.ts'
import type { Host } from '../host/host.ts'
import { FREE_POISON } from '../host/host-memory.ts'
import { pinnedPages } from '../host/pipe.ts'
import type { Process } from '../host/process.ts'
import { fileIndexAt } from '../host/vma.ts'
import { isSharedPage } from './attributes.ts'
import { GmemFile } from './file.ts'
import { LARGE_PAGES } from './folio-tree.ts'
import type { GmemInode } from './inode.ts'
import { isLargeFolio } from './large-folio.ts'

/** Reports one violation: the rule, and what is wrong. */
export type Report = (rule: string, text: string) => void

/** What a hypervisor has of the host's memory. */
export interface HypervisorView {
  /** Inodes that only its own structures reach. */
  readonly inodes: Iterable<GmemInode>
  /** Every frame that a guest's stage 2 maps, once for each page. */
  forEachLeaf(visit: (pfn: Pfn) => void): void
  /** Every reference to a frame that its structures hold. */
  forEachReference?(visit: (pfn: Pfn) => void): void
}

/** Collects violations, the first twenty. */
export const collector = (): { violations: string[]; report: Report } => {
  const violations: string[] = []
  return {
    violations,
    report: (rule, text) => {
      if (violations.length < 20) violations.push(`${rule}: ${text}`)
    },
  }
}

/** F1 to F4, M2, I1, T1. `poisoned`: the host poisons freed frames, and nobody writes the poison: check F2. */
export const checkHostMemory = (
  host: Host,
  views: readonly HypervisorView[],
  poisoned: boolean,
  report: Report,
): void => {
  const inodes = gmemInodes(host.processes)
  for (const view of views) for (const inode of view.inodes) inodes.add(inode)
  checkFrames(host, views, inodes, poisoned, report)
  for (const inode of inodes) {
    checkStates(inode, report)
    checkLargeFolios(inode, report)
  }
}

/** Every guest memory inode that a descriptor or a mapping reaches. */
const gmemInodes = (processes: Iterable<Process>): Set<GmemInode> => {
  const inodes = new Set<GmemInode>()
  for (const process of processes) {
    const files = [
      ...process.fds.open().map((fd) => process.fds.getRaw(fd)),
      ...process.vmas.all.map((vma) => vma.file),
    ]
    for (const file of files) if (file instanceof GmemFile) inodes.add(file.inode)
  }
  return inodes
}

/** F1, F2, F3, M2: every frame against every reference to it. */
const checkFrames = (
  host: Host,
  views: readonly HypervisorView[],
  inodes: ReadonlySet<GmemInode>,
  poisoned: boolean,
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
  const pinned = new Int32Array(layout.frames)
  for (const view of views) {
    view.forEachLeaf((pfn) => guest[pfn]++)
    view.forEachReference?.((pfn) => pinned[pfn]++)
  }
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
