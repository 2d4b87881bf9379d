// A process: descriptors, mappings, a page table, and the faults that its loads and stores take.
//
// Private memory that a child shares is mapped without write permission, and copied by whoever writes first
// (mm/memory.c, v7.2). mmap_lock is held for reading by faults and for writing by whatever changes the mappings.

import { KernelError } from '../base/errno.ts'
import { type Hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { FdTable } from './fd-table.ts'
import { VM_FAULT_RETRY } from './file.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { RwLock } from './locks.ts'
import { allocByPolicy, type Mempolicy, Mpol, nextNodeIn } from './mempolicy.ts'
import type { MmuNotifier } from './mmu-notifier.ts'
import { entryPfn, entryWritable, HWPOISON_ENTRY, PageTable } from './page-table.ts'
import { fileIndexAt, Prot, policyOf, type Vma, VmaList } from './vma.ts'

/** What a bad access raises (signal.h, siginfo codes). */
export interface Fault {
  readonly ok: false
  readonly signal: 'SIGSEGV' | 'SIGBUS'
  readonly code: 'SEGV_MAPERR' | 'SEGV_ACCERR' | 'BUS_ADRERR' | 'BUS_OBJERR' | 'BUS_MCEERR_AR'
}

export type Access<T> = { readonly ok: true; readonly value: T } | Fault

const SEGV_MAPERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_MAPERR' }
const SEGV_ACCERR: Fault = { ok: false, signal: 'SIGSEGV', code: 'SEGV_ACCERR' }
const BUS_ADRERR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_ADRERR' }
/** The host's stage 2 does not let it reach the frame: an external abort. */
const BUS_OBJERR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_OBJERR' }
/** The page had a memory error. */
const BUS_MCEERR_AR: Fault = { ok: false, signal: 'SIGBUS', code: 'BUS_MCEERR_AR' }
/** si_code, for trace records. */
const codes = { SEGV_MAPERR: 1, SEGV_ACCERR: 2, BUS_ADRERR: 2, BUS_OBJERR: 3, BUS_MCEERR_AR: 4 } as const

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
  readonly pages: PageTable

  /** `addressBits`: user address limit of the architecture (47: TASK_SIZE is 2^47 - 4096). */
  constructor(host: Host, addressBits = 47, fdLimit = 1024) {
    this.host = host
    this.id = host.nextProcess()
    this.fds = new FdTable(fdLimit)
    this.pages = new PageTable(host)
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
    const entry = this.pages.get(Math.floor(address / PAGE_SIZE))
    return entry === undefined || entry === HWPOISON_ENTRY
      ? null
      : { pfn: entryPfn(entry), writable: entryWritable(entry) }
  }

  /** True when the page at an address had a memory error: an access there is SIGBUS. */
  isPoisoned(address: number): boolean {
    return this.pages.get(Math.floor(address / PAGE_SIZE)) === HWPOISON_ENTRY
  }

  /** Every mapped page: (hva / 4096, frame, writable); not the frames that a mapping does not own. */
  forEachPage(visit: (page: number, pfn: Pfn, writable: boolean) => void): void {
    this.pages.forEach(0, this.addressLimit / PAGE_SIZE, visit)
  }

  /** Loads `length` bytes. */
  *load(at: Hva, length: number): KernelTask<Access<Uint8Array>> {
    const bytes = new Uint8Array(length)
    const u8 = this.host.memory.u8
    for (let done = 0; done < length; ) {
      const address = at + done
      const offset = address % PAGE_SIZE
      const count = Math.min(length - done, PAGE_SIZE - offset)
      const pfn =
        this.pages.reach(Math.floor(address / PAGE_SIZE), false) ?? (yield* this.access(address, false))
      if (typeof pfn !== 'number') return pfn
      if (!this.host.reaches(pfn, false)) return this.#aborted(address, false)
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
      const pfn =
        this.pages.reach(Math.floor(address / PAGE_SIZE), true) ?? (yield* this.access(address, true))
      if (typeof pfn !== 'number') return pfn
      if (!this.host.reaches(pfn, true)) return this.#aborted(address, true)
      u8.set(bytes.subarray(done, done + count), pfn * PAGE_SIZE + offset)
      done += count
    }
    return { ok: true, value: bytes.length }
  }

  /**
   * Loads an aligned 16-bit word as one access that later ones do not overtake, as what is shared with a guest's
   * running vCPUs needs.
   */
  *load16(at: Hva): KernelTask<Access<number>> {
    const pfn = this.pages.reach(Math.floor(at / PAGE_SIZE), false) ?? (yield* this.access(at, false))
    if (typeof pfn !== 'number') return pfn
    return { ok: true, value: Atomics.load(this.host.memory.u16, (pfn * PAGE_SIZE + (at % PAGE_SIZE)) / 2) }
  }

  /** Stores one; earlier stores are seen first. */
  *store16(at: Hva, value: number): KernelTask<Access<number>> {
    const pfn = this.pages.reach(Math.floor(at / PAGE_SIZE), true) ?? (yield* this.access(at, true))
    if (typeof pfn !== 'number') return pfn
    Atomics.store(this.host.memory.u16, (pfn * PAGE_SIZE + (at % PAGE_SIZE)) / 2, value)
    return { ok: true, value: 2 }
  }

  /** Takes the fault of an access, if any, and records the signal it raised. */
  *access(address: number, write: boolean): KernelTask<Pfn | Fault> {
    yield* this.mmapLock.readLock()
    let result: Pfn | Fault
    try {
      result = yield* this.#fault(address, write)
    } finally {
      this.mmapLock.readUnlock()
    }
    return typeof result === 'number' ? result : this.#signalled(address, write, result)
  }

  /** The host's stage 2 stopped an access that the page table allows. */
  #aborted(address: number, write: boolean): Fault {
    return this.#signalled(address, write, BUS_OBJERR)
  }

  #signalled(address: number, write: boolean, fault: Fault): Fault {
    const signal = fault.signal === 'SIGBUS' ? 7 : 11
    this.host.trace('gmemscope_host_fault', address, write ? 1 : 0, signal, codes[fault.code])
    return fault
  }

  /**
   * get_user_pages for one page: faults it in and returns its frame with a reference the caller drops, and
   * whether it may be written. EFAULT when the access would raise a signal; where the caller asks (FOLL_HWPOISON),
   * EHWPOISON when that is for a memory error.
   */
  *pin(address: number, write: boolean, tellPoison = false): KernelTask<{ pfn: Pfn; writable: boolean }> {
    const file = this.vmas.find(address)?.file
    if (file?.secret || file?.pfnMap) throw new KernelError('EFAULT')
    const page = Math.floor(address / PAGE_SIZE)
    for (;;) {
      const pfn = this.pages.reach(page, write)
      if (pfn !== null) {
        this.host.buddy.get(pfn)
        return { pfn, writable: this.pages.reach(page, true) !== null }
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
      const entry = this.pages.get(page)
      if (entry !== undefined) {
        if (entry === HWPOISON_ENTRY) return BUS_MCEERR_AR
        if (!write || entryWritable(entry)) return entryPfn(entry)
        if (vma.shared) return this.pages.allowWrite(page, entry)
        const result = yield* this.#writeProtected(vma, page, entry)
        if (result === VM_FAULT_RETRY) continue
        return result
      }
      if (!vma.file) {
        const pfn = this.#newAnonymous(vma, page)
        // Where Linux would kill a process for want of memory, this one gets a signal it can report.
        if (pfn < 0) return BUS_ADRERR
        this.host.memory.zeroFrame(pfn as Pfn)
        this.pages.install(page, pfn as Pfn, (vma.prot & Prot.WRITE) !== 0)
        return pfn as Pfn
      }
      const pfn = yield* vma.file.fault(vma, fileIndexAt(vma, address), write)
      if (pfn === VM_FAULT_RETRY) continue
      if (pfn < 0) return BUS_ADRERR
      if (vma.file.pfnMap) {
        this.pages.installPfn(page, pfn as Pfn, (vma.prot & Prot.WRITE) !== 0)
        return pfn as Pfn
      }
      if (this.host.memory.folios.has(pfn as Pfn, PG.hwpoison)) return BUS_MCEERR_AR
      // Another fault of the page was faster: what it left may still want write permission.
      if (this.pages.get(page) !== undefined) continue
      if (write && !vma.shared) return this.#copyFilePage(vma, page, pfn as Pfn)
      this.host.buddy.get(pfn as Pfn)
      this.pages.install(page, pfn as Pfn, vma.shared && (vma.prot & Prot.WRITE) !== 0)
      return pfn as Pfn
    }
  }

  /** A frame of anonymous memory that this page alone refers to, with any contents; -1: no memory. */
  #newAnonymous(vma: Vma, page: number): number {
    const { buddy, memory } = this.host
    const address = page * PAGE_SIZE
    const policy = policyOf(vma, address) ?? this.policy
    // Interleaved by place, whoever's the policy is (get_vma_policy).
    const index = vma.file ? fileIndexAt(vma, address) : page
    const use = { type: PageType.anon, owner: this.id, index: page }
    const pfn = policy
      ? allocByPolicy(this.host, this, policy, index, 0, use)
      : buddy.tryAlloc(0, use.type, use.owner, use.index)
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
    this.pages.install(page, pfn as Pfn, true)
    return pfn as Pfn
  }

  /**
   * do_wp_page: a write to a page of private memory that is mapped without write permission. The only one to refer
   * to an anonymous page keeps it; others get a copy, and the notifiers hear that the old page goes. A page with a
   * memory error cannot be copied (copy_mc_user_highpage). Returns the frame or VM_FAULT_RETRY.
   */
  *#writeProtected(vma: Vma, page: number, entry: number): KernelTask<Pfn | Fault | typeof VM_FAULT_RETRY> {
    const { buddy, memory } = this.host
    const { folios } = memory
    const old = entryPfn(entry)
    if (folios.type(old) === PageType.anon) {
      if (folios.refcount[old] === 1) folios.set(old, PG.anonExclusive)
      if (folios.has(old, PG.anonExclusive)) return this.pages.allowWrite(page, entry)
    }
    if (folios.has(old, PG.hwpoison)) return BUS_MCEERR_AR
    const taken = this.#newAnonymous(vma, page)
    if (taken < 0) return BUS_ADRERR
    const copy = taken as Pfn
    memory.frame(copy).set(memory.frame(old))
    let same = false
    yield* this.notify(page * PAGE_SIZE, (page + 1) * PAGE_SIZE, () => {
      same = this.pages.get(page) === entry
      if (same) this.pages.replace(page, entry, copy)
    })
    if (same) return copy
    buddy.put(copy)
    return VM_FAULT_RETRY
  }

  /** Drops the page-table entries of [start, end) (bytes) between MMU notifications. */
  *zap(start: number, end: number): KernelTask<void> {
    yield* this.notify(start, end, () => this.pages.zap(start / PAGE_SIZE, end / PAGE_SIZE))
  }

  /** The same for what shows a file's pages: copies that private mappings made of them, and poison, stay. */
  *zapFilePages(start: number, end: number): KernelTask<void> {
    yield* this.notify(start, end, () => this.pages.zapFilePages(start / PAGE_SIZE, end / PAGE_SIZE))
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
}

/**
 * unmap_mapping_range: drops the entries of every mapping that shows pages [start, end) of a file. `evenCows`: with the
 * copies that private mappings have made (the file ends before them now).
 */
export function* unmapMappingRange(
  mappings: ReadonlySet<Vma>,
  start: number,
  end: number,
  evenCows = false,
): KernelTask<void> {
  for (const vma of mappings) {
    const from = Math.max(start, vma.fileIndex)
    const to = Math.min(end, vma.fileIndex + (vma.end - vma.start) / PAGE_SIZE)
    if (from >= to) continue
    const address = vma.start + (from - vma.fileIndex) * PAGE_SIZE
    const last = address + (to - from) * PAGE_SIZE
    if (evenCows) yield* vma.process.zap(address, last)
    else yield* vma.process.zapFilePages(address, last)
  }
}
