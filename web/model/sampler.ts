// The sampler: reads the shared tables once a frame and lays them out as maps, a word a page.
//
// The only reader of the folio, slot and range tables in the page. It scatters the folio table (one pass over
// its rows) into the maps of the files and of the host memory behind the slots; panes draw from those.

import { PAGE_SIZE } from '../../core/base/units.ts'
import {
  FileKind,
  type FileRow,
  type GfnRange,
  Header,
  HypervisorNumber,
  type MachineView,
  PageType,
  type ParcelRow,
  PG,
  type SlotRow,
  VmWord,
} from '../../core/machine/view.ts'
import { PageMap } from './page-map.ts'
import { Cell, GuestPage } from './page-state.ts'

/** A memslot with the maps of its pages: as the guest numbers them, and both halves of its storage. */
export interface SlotMaps {
  readonly slot: SlotRow
  /** By gfn - baseGfn; GuestPage bits. */
  readonly guest: PageMap
  /** By page of userspace_addr; Cell bits. */
  readonly host: PageMap
  readonly file: FileMaps | null
  /** The guest_memfd holds shared pages too (it can be mapped): there is no other half. */
  readonly inPlace: boolean
}

export interface FileMaps {
  /** The file's row as it was when first seen. */
  readonly file: FileRow
  /** By page index in the file; Cell bits. */
  readonly pages: PageMap
}

/** A guest_memfd created with it serves its slots wholly (include/uapi/linux/kvm.h). */
const GUEST_MEMFD_FLAG_MMAP = 1 << 0
/** Frames of a 2 MiB folio. */
const LARGE_FRAMES = 512

/** The largest file or slot drawn a page a cell; what lies beyond is left to typed queries. */
export const MAX_MAP_PAGES = 1 << 20

/** References of the page cache, and of what a guest was given where that holds one. */
const ownReferences = (type: number, given: boolean): number =>
  (type === PageType.anon ? 0 : 1) + (given ? 1 : 0)

const sameSlot = (a: SlotRow, b: SlotRow): boolean =>
  a.id === b.id &&
  a.flags === b.flags &&
  a.file === b.file &&
  a.baseGfn === b.baseGfn &&
  a.pages === b.pages &&
  a.userspaceAddr === b.userspaceAddr &&
  a.fileIndex === b.fileIndex

const VM = 0

export class Sampler {
  readonly view: MachineView
  /** By row in the frames of host memory; Cell bits. */
  readonly frames: PageMap
  slots: readonly SlotMaps[] = []
  files: readonly FileMaps[] = []
  attributes: readonly GfnRange[] = []
  declared: readonly GfnRange[] = []
  /** Memory parcels, by borrower. */
  parcels: readonly ParcelRow[] = []
  /** Gunyah runs below the host: lent frames leave the host's stage 2, and what a guest has holds a reference. */
  underGunyah = false
  /** Frames that are not free and not under the layout's own tables. */
  framesInUse = 0
  /** Bumped when slots or files came, went or changed shape. */
  shape = 0
  /** Bumped at every sample that changed anything. */
  version = 0
  #generation = -1

  constructor(view: MachineView) {
    this.view = view
    this.frames = new PageMap(view.layout.frames)
  }

  /** Reads the tables if their generation moved; true when it did. */
  sample(): boolean {
    const generation = this.view.header(Header.GENERATION)
    if (generation === this.#generation) return false
    this.#generation = generation
    this.#readShape()
    this.#readRanges()
    this.#scatter()
    this.version++
    return true
  }

  /** Fades recent changes; true while frames must go on for it. */
  fade(ms: number): boolean {
    let lit = this.frames.fade(ms)
    for (const { pages } of this.files) lit = pages.fade(ms) || lit
    for (const { guest, host } of this.slots) {
      lit = guest.fade(ms) || lit
      lit = host.fade(ms) || lit
    }
    return lit
  }

  slotOfGfn(gfn: number): SlotMaps | null {
    return this.slots.find(({ slot }) => gfn >= slot.baseGfn && gfn < slot.baseGfn + slot.pages) ?? null
  }

  #readShape(): void {
    const { tables } = this.view
    const used = tables.vmWord(VM, VmWord.USED) !== 0
    const files = tables
      .readFiles()
      .filter((file) => file.kind === FileKind.gmem && file.size / PAGE_SIZE <= MAX_MAP_PAGES)
    let changed = false
    this.files = files.map((file) => {
      const old = this.files.find((f) => f.file.row === file.row && f.file.ino === file.ino)
      if (old && old.file.size === file.size) return old
      changed = true
      return { file, pages: new PageMap(file.size / PAGE_SIZE) }
    })
    const slots = (used ? tables.readSlots(VM) : []).filter((slot) => slot.pages <= MAX_MAP_PAGES)
    if (slots.length !== this.slots.length) changed = true
    this.slots = slots.map((slot) => {
      const file = this.files.find((f) => f.file.row === slot.file) ?? null
      const old = this.slots.find((s) => sameSlot(s.slot, slot))
      if (old) return old.file === file ? old : { ...old, file }
      changed = true
      const inPlace = file !== null && (file.file.flags & GUEST_MEMFD_FLAG_MMAP) !== 0
      return { slot, file, inPlace, guest: new PageMap(slot.pages), host: new PageMap(slot.pages) }
    })
    if (changed) this.shape++
  }

  #readRanges(): void {
    const { tables } = this.view
    this.attributes = this.slots.length ? tables.readRanges(VM, 'attributes') : []
    this.declared = this.slots.length ? tables.readRanges(VM, 'declared') : []
    this.underGunyah = tables.vmWord(VM, VmWord.HYPERVISOR) === HypervisorNumber.gunyah
    this.parcels = this.underGunyah ? this.view.parcels.read() : []
  }

  #scatter(): void {
    const guests = this.slots.map(({ guest }) => guest.begin())
    const hosts = this.slots.map(({ host }) => host.begin())
    const pages: (PageMap | undefined)[] = []
    const cells: (Uint16Array | undefined)[] = []
    for (const { file, pages: map } of this.files) {
      pages[file.row] = map
      cells[file.row] = map.begin(Cell.private)
    }
    this.#scatterRanges(guests, this.attributes, GuestPage.private)
    this.#scatterRanges(guests, this.declared, GuestPage.declared)
    const frames = this.frames.begin()
    this.#scatterFolios(frames, hosts, pages, cells)
    this.#scatterParcels(cells, frames)
    this.slots.forEach((maps, i) => {
      this.#finishSlot(maps, guests[i], hosts[i], cells[maps.slot.file], frames)
    })
    this.frames.commit()
    for (const { pages: map } of this.files) map.commit()
  }

  #scatterRanges(guests: readonly Uint16Array[], ranges: readonly GfnRange[], bit: number): void {
    this.slots.forEach(({ slot }, i) => {
      const guest = guests[i]
      for (const { start, end } of ranges) {
        const low = Math.max(start - slot.baseGfn, 0)
        const high = Math.min(end - slot.baseGfn, slot.pages)
        for (let page = low; page < high; page++) guest[page] |= bit
      }
    })
  }

  /** One pass over the folio table: every frame finds its cell. */
  #scatterFolios(
    frames: Uint16Array,
    hosts: readonly Uint16Array[],
    pages: readonly (PageMap | undefined)[],
    cells: readonly (Uint16Array | undefined)[],
  ): void {
    const { folios, layout, tables } = this.view
    const { flags, refcount, mapcount, guestMapcount, owner, index } = folios
    frames.fill(Cell.kernel, 0, layout.firstFrame)
    const starts = this.slots.map(({ slot }) => slot.userspaceAddr / PAGE_SIZE)
    const vmm = tables.vmWord(VM, VmWord.PROCESS)
    let inUse = 0
    let largeEnd = 0
    for (let pfn = layout.firstFrame; pfn < layout.frames; pfn++) {
      const flag = flags[pfn]
      const type = flag >>> 24
      if (type === PageType.free) continue
      inUse++
      if (type !== PageType.gmem && type !== PageType.anon && type !== PageType.file) {
        frames[pfn] =
          type === PageType.hwpoison ? Cell.poisoned : type === PageType.lost ? Cell.lost : Cell.kernel
        continue
      }
      let cell: number = Cell.allocated
      if (flag & PG.hwpoison) cell |= Cell.poisoned
      else if (
        refcount[pfn] >
        mapcount[pfn] + ownReferences(type, this.underGunyah && guestMapcount[pfn] > 0)
      )
        cell |= Cell.held
      if (flag & PG.lent) cell |= Cell.lent
      if (flag & PG.uptodate) cell |= Cell.uptodate
      if (flag & PG.locked) cell |= Cell.locked
      if (guestMapcount[pfn] > 0) cell |= Cell.stage2
      if (mapcount[pfn] > 0) cell |= Cell.hostMapped
      if (type === PageType.gmem) {
        cell |= Cell.private
        if (flag & PG.head) largeEnd = pfn + LARGE_FRAMES
        if (pfn < largeEnd) cell |= Cell.large
        const map = pages[owner[pfn]]
        const row = cells[owner[pfn]]
        const at = index[pfn]
        if (map && row && at < map.count) {
          row[at] = cell
          map.pfns[at] = pfn
        }
      } else if (type === PageType.anon && owner[pfn] !== vmm) {
        cell |= Cell.foreign
      } else if (type === PageType.anon) {
        for (let s = 0; s < starts.length; s++) {
          const at = index[pfn] - starts[s]
          if (at < 0 || at >= hosts[s].length) continue
          // Anonymous memory is zeroed at its fault and has no PG_uptodate of its own.
          cell |= Cell.uptodate
          hosts[s][at] = cell
          this.slots[s].host.pfns[at] = pfn
          break
        }
      }
      frames[pfn] = cell
    }
    this.framesInUse = inUse
  }

  /** Marks what the guest shares by parcel, in its file and among the frames. */
  #scatterParcels(cells: readonly (Uint16Array | undefined)[], frames: Uint16Array): void {
    for (const { accepted, ipa, pages } of this.parcels) {
      if (!accepted) continue
      for (let gfn = ipa / PAGE_SIZE; gfn < ipa / PAGE_SIZE + pages; gfn++) {
        const maps = this.slotOfGfn(gfn)
        if (!maps?.file) continue
        const at = maps.slot.fileIndex + gfn - maps.slot.baseGfn
        const file = cells[maps.slot.file]
        if (file) file[at] |= Cell.parcel
        const pfn = maps.file.pages.pfns[at]
        if (pfn >= 0) frames[pfn] |= Cell.parcel
      }
    }
  }

  /** Folds what a slot's halves hold into its guest pages, and marks the half that is not in use. */
  #finishSlot(
    { slot, guest, host, file, inPlace }: SlotMaps,
    guestBits: Uint16Array,
    hostCells: Uint16Array,
    fileCells: Uint16Array | undefined,
    frameCells: Uint16Array,
  ): void {
    for (let page = 0; page < slot.pages; page++) {
      const isPrivate = (guestBits[page] & GuestPage.private) !== 0
      const at = slot.fileIndex + page
      const inFile = isPrivate || inPlace
      const cell = inFile ? (fileCells?.[at] ?? 0) : hostCells[page]
      if (cell & Cell.allocated) guestBits[page] |= GuestPage.backed
      if (cell & Cell.stage2) guestBits[page] |= GuestPage.stage2
      if (inFile) hostCells[page] |= Cell.aside
      else if (fileCells) fileCells[at] |= Cell.aside
      if (inPlace && !isPrivate && fileCells) {
        fileCells[at] &= ~Cell.private
        if (file && file.pages.pfns[at] >= 0) frameCells[file.pages.pfns[at]] &= ~Cell.private
      }
      guest.pfns[page] = (inFile ? file?.pages.pfns[at] : host.pfns[page]) ?? -1
    }
    guest.commit()
    host.commit()
  }
}
