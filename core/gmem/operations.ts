// What guest memory asks of the hypervisor that views a file: the one seam between gmem and a front end.
//
// gmem allocates (inode.ts) and binds (file.ts); a front end invalidates, prepares and releases, each in its own way.
// The shape is that of the 2024 guest memory library RFC (include/linux/guest_memfd.h, E. Berman, v2): begin may fail,
// for a hypervisor may be unable to take a page from its guest; what it need not do, it leaves out.

import type { ErrnoName } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { UserArgument } from '../host/user-argument.ts'
import type { PageState } from './attributes.ts'
import type { GmemFile } from './file.ts'

/** Which guest mappings an invalidation is about: of private pages, of shared ones, or both. */
export interface GmemFilter {
  readonly private: boolean
  readonly shared: boolean
}

/** Guest mappings of either kind. */
export const BOTH_KINDS: GmemFilter = { private: true, shared: true }

/** What became of an invalidation. */
export interface Invalidation {
  /** Guest mappings dropped. */
  readonly zapped: number
  /** Pages that a guest would not let go of: their folios stay. */
  readonly kept?: KeptPages
}

export interface KeptPages {
  /** Why the last of them stays. */
  readonly errno: ErrnoName
  readonly indexes: ReadonlySet<number>
}

/** A hypervisor as the owner of a view. `Binding` is what it stores for a range of file pages: a memslot, say. */
export interface GmemOperations<Binding> {
  /**
   * Pages [start, end) of the file are about to lose their folios or their state: unmap them from every guest and keep
   * new mappings out until invalidateEnd. Called under the inode's invalidate lock.
   */
  invalidateBegin(
    view: GmemFile<Binding>,
    start: number,
    end: number,
    filter: GmemFilter,
  ): KernelTask<Invalidation>
  invalidateEnd(view: GmemFile<Binding>, start: number, end: number): KernelTask<void>
  /**
   * A folio, zeroed and referenced, is about to become the guest's through `binding`. Throws what the guest's fault
   * then fails with.
   */
  prepareInaccessible?(
    view: GmemFile<Binding>,
    index: number,
    pfn: Pfn,
    binding: Binding & {},
  ): KernelTask<void>
  /**
   * The host is about to map, or to touch, pages [start, end). Throws when a guest keeps one of them. Called under the
   * inode's invalidate lock.
   */
  prepareAccessible?(view: GmemFile<Binding>, start: number, end: number): KernelTask<void>
  /** Pages [start, end) have a new state, for which `zapped` guest mappings went. Called before invalidateEnd. */
  converted?(view: GmemFile<Binding>, start: number, end: number, to: PageState, zapped: number): void
  /** ioctl(2) on the file: the numbers and structures are the hypervisor's. Throws KernelError; absent: ENOTTY. */
  ioctl?(
    view: GmemFile<Binding>,
    process: Process,
    number: number,
    argument: UserArgument,
  ): KernelTask<number>
  /** The view's last reference is gone: runs view.teardown under the locks that guard bindings, then lets go of it. */
  release(view: GmemFile<Binding>): KernelTask<void>
}
