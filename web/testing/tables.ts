// For unit tests: a host memory whose tables are filled by hand, and the page's readers over it.

import { pfn } from '../../core/base/units.ts'
import {
  FileKind,
  FolioTable,
  Header,
  MachineTables,
  MachineView,
  PageType,
  PG,
  VmWord,
} from '../../core/machine/view.ts'
import { Sampler } from '../model/sampler.ts'

export const BASE_GFN = 0x80000
export const USERSPACE = 0x7f0000000000
export const PAGES = 64
const VMM = 1

export interface TestOptions {
  /** GUEST_MEMFD_FLAG_* of the file. */
  readonly fileFlags?: number
}

/** One VM with a slot of 64 pages, private, over a guest_memfd and host memory; all pages absent. */
export class TestTables {
  readonly view: MachineView
  readonly tables: MachineTables
  readonly folios: FolioTable
  readonly sampler: Sampler
  readonly file: number
  readonly #words: Int32Array

  constructor({ fileFlags = 0 }: TestOptions = {}) {
    const memory = new WebAssembly.Memory({ shared: true, initial: 1024, maximum: 1024 })
    const buffer: unknown = memory.buffer
    if (!(buffer instanceof SharedArrayBuffer)) throw new Error('the memory is not shared')
    this.view = new MachineView(memory)
    this.tables = new MachineTables(buffer, this.view.layout)
    this.folios = new FolioTable(buffer, this.view.layout)
    this.#words = new Int32Array(buffer, 0, 1024)
    this.tables.allocVm(1, 1)
    this.tables.setVmWord(0, VmWord.PROCESS, VMM)
    this.file = this.tables.allocFile(FileKind.gmem, 9, fileFlags, 0, PAGES * 4096)
    this.tables.writeSlots(0, [
      {
        id: 3,
        flags: 4,
        file: this.file,
        baseGfn: BASE_GFN,
        pages: PAGES,
        userspaceAddr: USERSPACE,
        fileIndex: 0,
      },
    ])
    this.setPrivate(0, PAGES, true)
    this.sampler = new Sampler(this.view)
  }

  /** Sets attribute and declaration of pages [start, end) of the slot. */
  setPrivate(start: number, end: number, isPrivate: boolean): void {
    this.tables.setRange(0, 'attributes', BASE_GFN + start, BASE_GFN + end, isPrivate)
    this.tables.setRange(0, 'declared', BASE_GFN + start, BASE_GFN + end, isPrivate)
  }

  /** What the reset of a machine does to its rings. */
  readonly resetTraces = (): void => {
    const { traces, devices } = this.view.layout
    new Uint8Array(this.#words.buffer).fill(0, traces, devices)
  }

  /** A folio of the file at `index`, in stage 2. */
  gmemFolio(frame: number, index: number): void {
    this.folios.assign(pfn(frame), PageType.gmem, this.file, index)
    this.folios.set(pfn(frame), PG.uptodate)
    this.folios.refcount[frame] = 1
    this.folios.guestMapcount[frame] = 1
  }

  /** A page of the host memory behind the slot, or of another process at the same address. */
  anonFolio(frame: number, page: number, process = VMM): void {
    this.folios.assign(pfn(frame), PageType.anon, process, USERSPACE / 4096 + page)
    this.folios.refcount[frame] = this.folios.mapcount[frame] = 1
  }

  /** Lets readers see it, and reads. */
  sample(): Sampler {
    Atomics.add(this.#words, Header.GENERATION, 1)
    this.sampler.sample()
    return this.sampler
  }
}
