// A process: descriptors, mappings, a page table, and the faults that its loads and stores take.
//
// The page table maps hva / 4096 to a frame and whether it is writable; entries hold a reference to the frame.
// mmap_lock is held for reading by faults and for writing by whatever changes the mappings.

import { KernelError } from '../base/errno.ts'
import { type Hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { FdTable } from './fd-table.ts'
import { VM_FAULT_RETRY } from './file.ts'
import { PageType } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { RwLock } from './locks.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import { fileIndexAt, Prot, type Vma, VmaList } from './vma.ts'

/** What a bad access raises (signal.h, siginfo codes). */
export interface Fault {
  readonly ok: false
  readonly signal: 'SIGSEGV' | 'SIGBUS'
  readonly code: 'SEGV_MAPERR' | 'SEGV_ACCERR' | 'BUS_ADRERR'
}

export type Access<T> = { readonly ok: true; readonly value: T } | Fault

const SEGV_MAPERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' }
const SEGV_ACCERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' }
const BUS_ADRERR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' }

const ZAP: Step = { at: 'zap_page_range_single/zap' }

export class Process {
  readonly host: Host
  readonly id: number
  readonly fds: FdTable
  readonly vmas = new VmaList()
  readonly mmapLock: RwLock
  readonly notifiers = new Set<MmuNotifier>()
  /** One past the highest user address. */
  readonly addressLimit: number
  /** pfn * 2 + writable. */
  readonly #pages = new XArray<number>()

  /** `addressBits`: user address limit of the architecture (47: TASK_SIZE is 2^47 - 4096). */
  constructor(host: Host, addressBits = 47, fdLimit = 1024) {
    this.host = host
    this.id = host.nextProcess()
    this.fds = new FdTable(fdLimit)
    this.mmapLock = new RwLock(host, 'mm->mmap_lock')
    this.addressLimit = 2 ** addressBits - PAGE_SIZE
  }

  /** The frame mapped at an address now, or null; takes no fault. */
  mappedFrame(address: number): { pfn: Pfn; writable: boolean } | null {
    const entry = this.#pages.get(Math.floor(address / PAGE_SIZE))
    return entry === undefined ? null : { pfn: (entry >>> 1) as Pfn, writable: (entry & 1) === 1 }
  }

  /** Every mapped page: (hva / 4096, frame, writable). */
  forEachPage(visit: (page: number, pfn: Pfn, writable: boolean) => void): void {
    this.#pages.forRange(0, this.addressLimit / PAGE_SIZE, (entry, page) =>
      visit(page, (entry >>> 1) as Pfn, (entry & 1) === 1),
    )
  }

  /** Loads `length` bytes. */
  *load(at: Hva, length: number): KernelTask<Access<Uint8Array>> {
    const bytes = new Uint8Array(length)
    const u8 = this.host.memory.u8
    for (let done = 0; done < length; ) {
      const address = at + done
      const offset = address % PAGE_SIZE
      const count = Math.min(length - done, PAGE_SIZE - offset)
      const pfn = this.#fast(address, false) ?? (yield* this.access(address, false))
      if (typeof pfn !== 'number') return pfn
      bytes.set(u8.subarray(pfn * PAGE_SIZE + offset, pfn * PAGE_SIZE + offset + count), done)
      done += count
    }
    return { ok: true, value: bytes }
  }

  /** Stores bytes. A fault in the middle leaves the pages before it written. */
  *store(at: Hva, bytes: Uint8Array): KernelTask<Access<number>> {
    const u8 = this.host.memory.u8
    for (let done = 0; done < bytes.length; ) {
      const address = at + done
      const offset = address % PAGE_SIZE
      const count = Math.min(bytes.length - done, PAGE_SIZE - offset)
      const pfn = this.#fast(address, true) ?? (yield* this.access(address, true))
      if (typeof pfn !== 'number') return pfn
      u8.set(bytes.subarray(done, done + count), pfn * PAGE_SIZE + offset)
      done += count
    }
    return { ok: true, value: bytes.length }
  }

  /** Frame of a present page that allows the access. */
  #fast(address: number, write: boolean): Pfn | null {
    const entry = this.#pages.get(Math.floor(address / PAGE_SIZE))
    return entry !== undefined && (!write || entry & 1) ? ((entry >>> 1) as Pfn) : null
  }

  /** Takes the fault of an access, if any, and records the signal it raised. */
  *access(address: number, write: boolean): KernelTask<Pfn | Fault> {
    yield* this.mmapLock.readLock()
    const result = yield* this.#fault(address, write)
    this.mmapLock.readUnlock()
    if (typeof result !== 'number')
      this.host.trace(
        'gmemscope_host_fault',
        address,
        write ? 1 : 0,
        result.signal === 'SIGBUS' ? 7 : 11,
        result === SEGV_MAPERR ? 1 : 2,
      )
    return result
  }

  /**
   * get_user_pages for one page: faults it in and returns its frame with a reference the caller drops, and
   * whether it may be written. EFAULT when the access would raise a signal.
   */
  *pin(address: number, write: boolean): KernelTask<{ pfn: Pfn; writable: boolean }> {
    for (;;) {
      const present = this.mappedFrame(address)
      if (present && (!write || present.writable)) {
        this.host.buddy.get(present.pfn)
        return present
      }
      const result = yield* this.access(address, write)
      if (typeof result !== 'number') throw new KernelError('EFAULT')
    }
  }

  /** handle_mm_fault, under mmap_lock. */
  *#fault(address: number, write: boolean): KernelTask<Pfn | Fault> {
    for (;;) {
      const vma = this.vmas.find(address)
      if (!vma) return SEGV_MAPERR
      // A page that is writable or executable is readable, as x86-64 and RISC-V page tables have it here.
      if (write ? !(vma.prot & Prot.WRITE) : vma.prot === 0) return SEGV_ACCERR
      const page = Math.floor(address / PAGE_SIZE)
      const entry = this.#pages.get(page)
      if (entry !== undefined) {
        if (write) this.#pages.set(page, entry | 1)
        return (entry >>> 1) as Pfn
      }
      if (!vma.file) return this.#faultAnonymous(vma, page)
      const pfn = yield* vma.file.fault(vma, fileIndexAt(vma, address), write)
      if (pfn === VM_FAULT_RETRY) continue
      if (pfn < 0) return BUS_ADRERR
      if (!this.#pages.get(page)) {
        this.host.buddy.get(pfn as Pfn)
        this.#install(page, pfn as Pfn, vma)
      }
      return pfn as Pfn
    }
  }

  #faultAnonymous(vma: Vma, page: number): Pfn | Fault {
    const host = this.host
    const pfn = host.buddy.tryAlloc(0, PageType.anon, this.id, page)
    // Where Linux would kill a process for want of memory, this one gets a signal it can report.
    if (pfn < 0) return BUS_ADRERR
    host.memory.zeroFrame(pfn as Pfn)
    this.#install(page, pfn as Pfn, vma)
    return pfn as Pfn
  }

  #install(page: number, pfn: Pfn, vma: Vma): void {
    this.host.memory.folios.mapcount[pfn]++
    this.#pages.set(page, pfn * 2 + (vma.prot & Prot.WRITE ? 1 : 0))
    this.host.memory.bumpGeneration()
  }

  /** Drops the page-table entries of [start, end) (bytes) between MMU notifications. */
  *zap(start: number, end: number): KernelTask<void> {
    yield* this.notify(start, end, () => this.zapNow(start, end))
  }

  /** Runs `change` on [start, end) with the notifiers told before and after. */
  *notify(start: number, end: number, change: () => void): KernelTask<void> {
    // A notifier that registers meanwhile must not hear an end whose start it has not heard.
    const notifiers = [...this.notifiers]
    for (const notifier of notifiers) yield* notifier.invalidateRangeStart(start, end)
    if (this.host.scheduler.stepping) yield ZAP
    change()
    for (const notifier of notifiers) yield* notifier.invalidateRangeEnd(start, end)
  }

  /** Drops the entries at once; the caller has told the notifiers. */
  zapNow(start: number, end: number): void {
    const { memory, buddy } = this.host
    const first = start / PAGE_SIZE
    const last = end / PAGE_SIZE
    this.#pages.forRange(first, last, (entry) => {
      const pfn = (entry >>> 1) as Pfn
      memory.folios.mapcount[pfn]--
      buddy.put(pfn)
    })
    this.#pages.store(first, last, undefined)
    memory.bumpGeneration()
  }

  /** Takes write permission from the entries of [start, end). */
  writeProtectNow(start: number, end: number): void {
    const pages: [number, number][] = []
    this.#pages.forRange(start / PAGE_SIZE, end / PAGE_SIZE, (entry, page) => pages.push([page, entry]))
    for (const [page, entry] of pages) this.#pages.set(page, entry & ~1)
  }
}

/** unmap_mapping_range: drops the entries of every mapping that shows pages [start, end) of a file. */
export function* unmapMappingRange(mappings: ReadonlySet<Vma>, start: number, end: number): KernelTask<void> {
  for (const vma of mappings) {
    const from = Math.max(start, vma.fileIndex)
    const to = Math.min(end, vma.fileIndex + (vma.end - vma.start) / PAGE_SIZE)
    if (from >= to) continue
    const address = vma.start + (from - vma.fileIndex) * PAGE_SIZE
    yield* vma.process.zap(address, address + (to - from) * PAGE_SIZE)
  }
}
