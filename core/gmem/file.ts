// An open guest_memfd file: one hypervisor VM's view of an inode, with the bindings of file pages to memslots.

import { KernelError } from '../base/errno.ts'
import { isPageAligned, pageOfSum, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { Falloc } from '../host/fallocate.ts'
import { OpenFile, OpenFlag, VM_FAULT_SIGBUS } from '../host/file.ts'
import { PG } from '../host/folio-table.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { SharedPolicy } from '../host/mempolicy.ts'
import type { Process } from '../host/process.ts'
import type { UserArgument } from '../host/user-argument.ts'
import type { Vma } from '../host/vma.ts'
import { isSharedPage } from './attributes.ts'
import { GmemFlag, type GmemInode } from './inode.ts'
import { BOTH_KINDS, type GmemOperations } from './operations.ts'
import { punchHole } from './punch.ts'

/** A front end that need not do anything. */
const NOTHING: Iterable<Step> = []
const GET_FOLIO: Step = { at: 'gmem_get_pfn/get_folio' }

export class GmemFile<Binding> extends OpenFile {
  declare readonly inode: GmemInode
  readonly operations: GmemOperations<Binding>
  /** File page index -> memslot. */
  readonly bindings = new XArray<Binding & {}>()
  /** False once the last reference is gone: faults must not find folios through it. */
  live = true

  constructor(inode: GmemInode, operations: GmemOperations<Binding>) {
    super(inode, OpenFlag.RDWR | OpenFlag.LARGEFILE)
    this.operations = operations
    inode.views.add(this as GmemFile<unknown>)
  }

  override get mappable(): boolean {
    return true
  }

  override get mappings(): Set<Vma> {
    return this.inode.mappings
  }

  override get sharedPolicy(): SharedPolicy | null {
    return this.inode.policy
  }

  override *mmap(vma: Vma): KernelTask<void> {
    const { flags, invalidateLock } = this.inode
    if (!(flags & GmemFlag.MMAP)) throw new KernelError('ENODEV')
    if (!vma.shared) throw new KernelError('EINVAL')
    if (!this.operations.prepareAccessible) return
    yield* invalidateLock.readLock()
    try {
      const end = vma.fileIndex + (vma.end - vma.start) / PAGE_SIZE
      yield* this.operations.prepareAccessible(this, vma.fileIndex, end)
    } finally {
      invalidateLock.readUnlock()
    }
  }

  override resident(index: number): boolean {
    const pfn = this.inode.folio(index)
    return pfn !== null && this.inode.host.memory.folios.has(pfn, PG.uptodate)
  }

  /** Host fault (kvm_gmem_fault_user_mapping): SIGBUS past the end, for a private page, and without memory. */
  override *fault(_vma: Vma, index: number): KernelTask<Pfn | number> {
    const inode = this.inode
    if (index >= inode.pages) return VM_FAULT_SIGBUS
    yield* inode.invalidateLock.readLock()
    try {
      if (inode.store.contended) yield* inode.store.lookup(index)
      yield* this.operations.prepareAccessible?.(this, index, index + 1) ?? NOTHING
      // Under the lock: a conversion to private that waits for it unmaps what is mapped now.
      const pfn = isSharedPage(inode, index) ? inode.folioOrCreate(index) : -1
      if (pfn < 0) return VM_FAULT_SIGBUS
      inode.makeUptodate(pfn as Pfn)
      return pfn
    } catch (error) {
      if (error instanceof KernelError) return VM_FAULT_SIGBUS
      throw error
    } finally {
      inode.invalidateLock.readUnlock()
    }
  }

  override ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    return this.operations.ioctl?.(this, process, number, argument) ?? super.ioctl(process, number, argument)
  }

  override *fallocate(mode: number, offset: number, length: number): KernelTask<void> {
    if (!(mode & Falloc.KEEP_SIZE)) throw new KernelError('EOPNOTSUPP')
    if (mode & ~(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE)) throw new KernelError('EOPNOTSUPP')
    if (!isPageAligned(offset) || !isPageAligned(length)) throw new KernelError('EINVAL')
    const start = offset / PAGE_SIZE
    const end = pageOfSum(offset, length)
    if (mode & Falloc.PUNCH_HOLE) yield* punchHole(this.inode, start, end)
    else yield* this.#allocate(start, end)
  }

  /** kvm_gmem_allocate: what was allocated before an error stays. EINVAL: past the end; EINTR; ENOMEM. */
  *#allocate(start: number, end: number): KernelTask<void> {
    const inode = this.inode
    if (end > inode.pages) throw new KernelError('EINVAL')
    yield* inode.invalidateLock.readLock()
    const stopped = yield* inode.allocateRange(start, end)
    inode.invalidateLock.readUnlock()
    if (stopped < end) throw new KernelError(inode.host.scheduler.signalPending ? 'EINTR' : 'ENOMEM')
  }

  /**
   * kvm_gmem_get_pfn: the frame that backs a bound page, zeroed, with a reference the caller drops.
   * EFAULT: the file is gone; EIO: the page is not bound to `binding`; EHWPOISON; ENOMEM.
   */
  *getPfn(index: number, binding: Binding & {}): KernelTask<Pfn> {
    if (!this.live) throw new KernelError('EFAULT')
    if (this.bindings.get(index) !== binding || index >= this.inode.pages) throw new KernelError('EIO')
    const inode = this.inode
    if (inode.host.scheduler.stepping) yield GET_FOLIO
    if (inode.store.contended) yield* inode.store.lookup(index)
    // The last reference may have gone while others ran: the folio would belong to nobody.
    if (!this.live) throw new KernelError('EFAULT')
    const pfn = inode.folioOrCreate(index)
    if (pfn < 0) throw new KernelError('ENOMEM')
    const { folios } = inode.host.memory
    if (folios.has(pfn as Pfn, PG.hwpoison)) throw new KernelError('EHWPOISON')
    const zeroed = inode.makeUptodate(pfn as Pfn)
    inode.host.buddy.get(pfn as Pfn)
    inode.host.trace('gmem_get_pfn', inode.row, index, pfn, zeroed ? 1 : 0)
    try {
      yield* this.operations.prepareInaccessible?.(this, index, pfn as Pfn, binding) ?? NOTHING
    } catch (error) {
      inode.host.buddy.put(pfn as Pfn)
      throw error
    }
    return pfn as Pfn
  }

  /**
   * kvm_gmem_get_pfn where pages are converted in place: the lookup holds the invalidate lock, and no reference
   * leaves it, so that a conversion counts only those of others. The invalidate sequence keeps the frame valid.
   */
  *lookupPfn(index: number, binding: Binding & {}): KernelTask<Pfn> {
    const { invalidateLock, host } = this.inode
    yield* invalidateLock.readLock()
    try {
      const pfn = yield* this.getPfn(index, binding)
      host.buddy.put(pfn)
      return pfn
    } finally {
      invalidateLock.readUnlock()
    }
  }

  /** Binds pages [start, end) to `binding`; false when some page of them is bound already. */
  *bind(start: number, end: number, binding: Binding & {}): KernelTask<boolean> {
    const { invalidateLock } = this.inode
    yield* invalidateLock.writeLock()
    const free = this.bindings.find(start, end) === undefined
    if (free) this.bindings.store(start, end, binding)
    invalidateLock.writeUnlock()
    return free
  }

  *unbind(start: number, end: number): KernelTask<void> {
    const { invalidateLock } = this.inode
    yield* invalidateLock.writeLock()
    this.bindings.store(start, end, undefined)
    invalidateLock.writeUnlock()
  }

  /** kvm_gmem_setattr refuses everything. */
  override chmod(): void {
    throw new KernelError('EINVAL')
  }

  /** kvm_gmem_release: guest mappings go, bindings forget the file, the storage dies with its last view. */
  protected override *release(): KernelTask<void> {
    yield* this.operations.release(this)
  }

  /** The release itself, for the front end to run under its locks; `detach` hears of each binding that is left. */
  *teardown(detach: (binding: Binding & {}) => void = () => {}): KernelTask<void> {
    const inode = this.inode
    this.live = false
    yield* inode.invalidateLock.writeLock()
    this.bindings.forRange(0, U64_PAGES, detach)
    if (!this.bindings.empty) {
      yield* this.operations.invalidateBegin(this, 0, inode.pages, BOTH_KINDS)
      yield* this.operations.invalidateEnd(this, 0, inode.pages)
    }
    inode.views.delete(this as GmemFile<unknown>)
    inode.host.trace('gmem_release', inode.row)
    inode.invalidateLock.writeUnlock()
    if (inode.views.size === 0) yield* inode.evict()
  }
}
