// A process: descriptors, mappings, a page table, and the faults that its loads and stores take.
//
// The page table maps hva / 4096 to a frame and whether it is writable; entries hold a reference to the frame.
// Private memory that a child shares is mapped without write permission, and copied by whoever writes first
// (mm/memory.c, v7.2). mmap_lock is held for reading by faults and for writing by whatever changes the mappings.

import { KernelError } from '../base/errno.ts'
import { type Hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { FdTable } from './fd-table.ts'
import { VM_FAULT_RETRY } from './file.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { RwLock } from './locks.ts'
import { allocByPolicy, type Mempolicy, Mpol, nextNodeIn } from './mempolicy.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import { fileIndexAt, Prot, type Vma, VmaList } from './vma.ts'

/** What a bad access raises (signal.h, siginfo codes). */
export interface Fault {
  readonly ok: false
  readonly signal: 'SIGSEGV' | 'SIGBUS'
  readonly code: 'SEGV_MAPERR' | 'SEGV_ACCERR' | 'BUS_ADRERR' | 'BUS_MCEERR_AR'
}

export type Access<T> = { readonly ok: true; readonly value: T } | Fault

const SEGV_MAPERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' }
const SEGV_ACCERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' }
const BUS_ADRERR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' }
/** The page had a memory error. */
const BUS_MCEERR_AR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_MCEERR_AR' }
/** si_code, for trace records. */
const codes = { SEGV_MAPERR: 1, SEGV_ACCERR: 2, BUS_ADRERR: 2, BUS_MCEERR_AR: 4 } as const

/** A page-table entry in place of one whose frame had a memory error (a hwpoison swap entry). */
const HWPOISON_ENTRY = -1
/** The last node's number: where an interleave's turn stands at its beginning. */
const BEFORE_FIRST_NODE = 31

const ZAP: Step = { at: 'zap_page_range_single/zap' }

export class Process {
  readonly host: Host
  readonly id: number
  readonly fds: FdTable
  readonly vmas = new VmaList()
  readonly mmapLock: RwLock
  readonly notifiers = new Set<MmuNotifier>()
  /** CAP_SYS_ADMIN and CAP_SYS_NICE. */
  privileged = false
  /** NUMA policy of the task (set_mempolicy); null: MPOL_DEFAULT. */
  policy: Mempolicy | null = null
  /** Node of the last page that was interleaved without an index (il_prev). */
  interleavePrevious = 0
  readonly addressBits: number
  /** One past the highest user address. */
  readonly addressLimit: number
  /** pfn * 2 + writable, or HWPOISON_ENTRY. */
  readonly #pages = new XArray<number>()
  /** Pages whose entries allow no access (PROT_NONE) though they keep their frame. */
  readonly #noAccess = new XArray<true>()

  /** `addressBits`: user address limit of the architecture (47: TASK_SIZE is 2^47 - 4096). */
  constructor(host: Host, addressBits = 47, fdLimit = 1024) {
    this.host = host
    this.id = host.nextProcess()
    this.fds = new FdTable(fdLimit)
    this.mmapLock = new RwLock(host, 'mm->mmap_lock')
    this.addressBits = addressBits
    this.addressLimit = 2 ** addressBits - PAGE_SIZE
    host.processes.add(this)
  }

  /** do_set_mempolicy: a new policy begins its interleave at the first node. */
  setPolicy(policy: Mempolicy | null): void {
    this.policy = policy
    if (policy?.mode === Mpol.INTERLEAVE || policy?.mode === Mpol.WEIGHTED_INTERLEAVE)
      this.interleavePrevious = BEFORE_FIRST_NODE
  }

  /** interleave_nodes: the node whose turn it is. */
  nextInterleaveNode(policy: Mempolicy): number {
    this.interleavePrevious = nextNodeIn(this.interleavePrevious, policy.nodes)
    return this.interleavePrevious
  }

  /** The frame mapped at an address now, or null; takes no fault. */
  mappedFrame(address: number): { pfn: Pfn; writable: boolean } | null {
    const entry = this.#pages.get(Math.floor(address / PAGE_SIZE))
    return entry === undefined || entry < 0
      ? null
      : { pfn: (entry >>> 1) as Pfn, writable: (entry & 1) === 1 }
  }

  /** True when the page at an address had a memory error: an access there is SIGBUS. */
  isPoisoned(address: number): boolean {
    return this.#pages.get(Math.floor(address / PAGE_SIZE)) === HWPOISON_ENTRY
  }

  /** Every mapped page: (hva / 4096, frame, writable). */
  forEachPage(visit: (page: number, pfn: Pfn, writable: boolean) => void): void {
    this.forEachPageIn(0, this.addressLimit, visit)
  }

  /** Every mapped page of [start, end) (bytes). */
  forEachPageIn(
    start: number,
    end: number,
    visit: (page: number, pfn: Pfn, writable: boolean) => void,
  ): void {
    this.#pages.forRange(start / PAGE_SIZE, end / PAGE_SIZE, (entry, page) => {
      if (entry >= 0) visit(page, (entry >>> 1) as Pfn, (entry & 1) === 1)
    })
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
    const page = Math.floor(address / PAGE_SIZE)
    const entry = this.#pages.get(page)
    if (entry === undefined || entry < 0 || (write && !(entry & 1)) || this.#noAccess.get(page)) return null
    return (entry >>> 1) as Pfn
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
        codes[result.code],
      )
    return result
  }

  /**
   * get_user_pages for one page: faults it in and returns its frame with a reference the caller drops, and
   * whether it may be written. EFAULT when the access would raise a signal; where the caller asks (FOLL_HWPOISON),
   * EHWPOISON when that is for a memory error.
   */
  *pin(address: number, write: boolean, tellPoison = false): KernelTask<{ pfn: Pfn; writable: boolean }> {
    if (this.vmas.find(address)?.file?.secret) throw new KernelError('EFAULT')
    for (;;) {
      const present = this.mappedFrame(address)
      const allowed = !this.#noAccess.get(Math.floor(address / PAGE_SIZE))
      if (present && allowed && (!write || present.writable)) {
        this.host.buddy.get(present.pfn)
        return present
      }
      const result = yield* this.access(address, write)
      if (typeof result !== 'number')
        throw new KernelError(tellPoison && result === BUS_MCEERR_AR ? 'EHWPOISON' : 'EFAULT')
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
        if (entry === HWPOISON_ENTRY) return BUS_MCEERR_AR
        if (!write || entry & 1) return (entry >>> 1) as Pfn
        const pfn = vma.shared ? this.#reuse(page, entry) : yield* this.#writeProtected(vma, page, entry)
        if (pfn === VM_FAULT_RETRY) continue
        return pfn < 0 ? BUS_ADRERR : (pfn as Pfn)
      }
      if (!vma.file) {
        const pfn = this.#newAnonymous(vma, page)
        // Where Linux would kill a process for want of memory, this one gets a signal it can report.
        if (pfn < 0) return BUS_ADRERR
        this.host.memory.zeroFrame(pfn as Pfn)
        this.#install(page, pfn as Pfn, (vma.prot & Prot.WRITE) !== 0)
        return pfn as Pfn
      }
      const pfn = yield* vma.file.fault(vma, fileIndexAt(vma, address), write)
      if (pfn === VM_FAULT_RETRY) continue
      if (pfn < 0) return BUS_ADRERR
      if (this.host.memory.folios.has(pfn as Pfn, PG.hwpoison)) return BUS_MCEERR_AR
      // Another fault of the page was faster: what it left may still want write permission.
      if (this.#pages.get(page) !== undefined) continue
      if (write && !vma.shared) return this.#copyFilePage(vma, page, pfn as Pfn)
      this.host.buddy.get(pfn as Pfn)
      this.#install(page, pfn as Pfn, vma.shared && (vma.prot & Prot.WRITE) !== 0)
      return pfn as Pfn
    }
  }

  /** A frame of anonymous memory that this page alone refers to, with any contents; -1: no memory. */
  #newAnonymous(vma: Vma, page: number): number {
    const { buddy, memory } = this.host
    const policy = vma.policy ?? this.policy
    const pfn = policy
      ? allocByPolicy(this.host, this, policy, vma.policy ? page : null, 0, {
          type: PageType.anon,
          owner: this.id,
          index: page,
        })
      : buddy.tryAlloc(0, PageType.anon, this.id, page)
    // On its LRU list at once: no batch refers to it first.
    if (pfn >= 0) memory.folios.set(pfn as Pfn, PG.anonExclusive | PG.lru)
    return pfn
  }

  /** do_cow_fault: the first touch of a page of a private file mapping is a write. */
  #copyFilePage(vma: Vma, page: number, from: Pfn): Pfn | Fault {
    const { memory } = this.host
    const pfn = this.#newAnonymous(vma, page)
    if (pfn < 0) return BUS_ADRERR
    memory.frame(pfn as Pfn).set(memory.frame(from))
    this.#install(page, pfn as Pfn, true)
    return pfn as Pfn
  }

  /** wp_page_reuse. */
  #reuse(page: number, entry: number): Pfn {
    this.#pages.set(page, entry | 1)
    this.host.memory.bumpGeneration()
    return (entry >>> 1) as Pfn
  }

  /**
   * do_wp_page: a write to a page of private memory that is mapped without write permission. The only one to refer
   * to an anonymous page keeps it; others get a copy, and the notifiers hear that the old page goes. Returns the
   * frame, VM_FAULT_RETRY, or -1: no memory.
   */
  *#writeProtected(vma: Vma, page: number, entry: number): KernelTask<number> {
    const { buddy, memory } = this.host
    const { folios } = memory
    const old = (entry >>> 1) as Pfn
    if (folios.type(old) === PageType.anon) {
      if (folios.refcount[old] === 1) folios.set(old, PG.anonExclusive)
      if (folios.has(old, PG.anonExclusive)) return this.#reuse(page, entry)
    }
    const copy = this.#newAnonymous(vma, page)
    if (copy < 0) return copy
    memory.frame(copy as Pfn).set(memory.frame(old))
    let same = false
    yield* this.notify(page * PAGE_SIZE, (page + 1) * PAGE_SIZE, () => {
      same = this.#pages.get(page) === entry
      if (!same) return
      folios.mapcount[old]--
      buddy.put(old)
      this.#install(page, copy as Pfn, true)
    })
    if (same) return copy
    buddy.put(copy as Pfn)
    return VM_FAULT_RETRY
  }

  #install(page: number, pfn: Pfn, writable: boolean): void {
    this.host.memory.folios.mapcount[pfn]++
    this.#pages.set(page, pfn * 2 + (writable ? 1 : 0))
    this.host.memory.bumpGeneration()
  }

  /**
   * copy_page_range of a private mapping: this child maps what the parent maps in [start, end), and neither may
   * write any more. The caller has told the parent's notifiers.
   */
  copyNow(parent: Process, start: number, end: number): void {
    const { folios } = this.host.memory
    parent.#noAccess.forRange(start / PAGE_SIZE, end / PAGE_SIZE, (_mark, from, to) =>
      this.#noAccess.store(from, to, true),
    )
    parent.#changeEntries(start, end, (page, entry) => {
      this.#pages.set(page, entry === HWPOISON_ENTRY ? entry : entry & ~1)
      if (entry === HWPOISON_ENTRY) return entry
      const pfn = (entry >>> 1) as Pfn
      folios.clear(pfn, PG.anonExclusive)
      folios.mapcount[pfn]++
      this.host.buddy.get(pfn)
      return entry & ~1
    })
    this.host.memory.bumpGeneration()
  }

  /** Replaces every entry of [start, end) by what `change` returns for it. */
  #changeEntries(start: number, end: number, change: (page: number, entry: number) => number): void {
    const pages: number[] = []
    this.#pages.forRange(start / PAGE_SIZE, end / PAGE_SIZE, (_entry, from, to) => {
      for (let page = from; page < to; page++) pages.push(page)
    })
    for (const page of pages) {
      const entry = this.#pages.get(page)
      if (entry !== undefined) this.#pages.set(page, change(page, entry))
    }
  }

  /** Drops the page-table entries of [start, end) (bytes) between MMU notifications. */
  *zap(start: number, end: number): KernelTask<void> {
    yield* this.notify(start, end, () => this.zapNow(start, end))
  }

  /** The same for what shows a file's pages: copies that private mappings made of them, and poison, stay. */
  *zapFilePages(start: number, end: number): KernelTask<void> {
    yield* this.notify(start, end, () => {
      const { folios } = this.host.memory
      const kept: [from: number, to: number, entry: number][] = []
      this.#pages.forRange(start / PAGE_SIZE, end / PAGE_SIZE, (entry, from, to) => {
        if (entry === HWPOISON_ENTRY || folios.type((entry >>> 1) as Pfn) === PageType.anon)
          kept.push([from, to, entry])
        else this.#drop(entry)
      })
      this.#pages.store(start / PAGE_SIZE, end / PAGE_SIZE, undefined)
      for (const [from, to, entry] of kept) this.#pages.store(from, to, entry)
      this.host.memory.bumpGeneration()
    })
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
    const first = start / PAGE_SIZE
    const last = end / PAGE_SIZE
    this.#pages.forRange(first, last, (entry) => {
      if (entry !== HWPOISON_ENTRY) this.#drop(entry)
    })
    this.#pages.store(first, last, undefined)
    this.host.memory.bumpGeneration()
  }

  #drop(entry: number): void {
    const pfn = (entry >>> 1) as Pfn
    this.host.memory.folios.mapcount[pfn]--
    this.host.buddy.put(pfn)
  }

  /** Replaces the entry of a page by one that makes every access SIGBUS (try_to_unmap with TTU_HWPOISON). */
  poisonNow(page: number): void {
    const entry = this.#pages.get(page)
    if (entry === undefined || entry === HWPOISON_ENTRY) return
    this.#drop(entry)
    this.#pages.set(page, HWPOISON_ENTRY)
    this.host.memory.bumpGeneration()
  }

  /** Points the entry of a page at another frame with the same permissions; its reference moves along. */
  remapNow(page: number, to: Pfn): void {
    const entry = this.#pages.get(page)
    if (entry === undefined || entry === HWPOISON_ENTRY) return
    this.host.buddy.get(to)
    this.host.memory.folios.mapcount[to]++
    this.#pages.set(page, to * 2 + (entry & 1))
    this.#drop(entry)
  }

  /**
   * change_protection: takes write permission from the entries of [start, end), which a fault gives back where the
   * mapping has it; without `accessible`, all permission.
   */
  protectNow(start: number, end: number, accessible: boolean): void {
    this.#noAccess.store(start / PAGE_SIZE, end / PAGE_SIZE, accessible ? undefined : true)
    this.#changeEntries(start, end, (_page, entry) => (entry === HWPOISON_ENTRY ? entry : entry & ~1))
  }
}

/** unmap_mapping_range: drops the entries of every mapping that shows pages [start, end) of a file. */
export function* unmapMappingRange(mappings: ReadonlySet<Vma>, start: number, end: number): KernelTask<void> {
  for (const vma of mappings) {
    const from = Math.max(start, vma.fileIndex)
    const to = Math.min(end, vma.fileIndex + (vma.end - vma.start) / PAGE_SIZE)
    if (from >= to) continue
    const address = vma.start + (from - vma.fileIndex) * PAGE_SIZE
    yield* vma.process.zapFilePages(address, address + (to - from) * PAGE_SIZE)
  }
}
