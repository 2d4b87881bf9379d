// What guest memory asks of the hypervisor that views a file: the one seam between gmem and kvm (or another).

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

/** A hypervisor's VM as the owner of a view. `Binding` is what it stores for a range of file pages: a memslot. */
export interface GmemClient<Binding> {
  /**
   * Pages [start, end) of the file are about to lose their folios: unmap them from the guest and keep new
   * mappings out until invalidateEnd. Called under the inode's invalidate lock. Returns mappings dropped.
   */
  invalidateBegin(view: GmemFile<Binding>, start: number, end: number, filter: GmemFilter): KernelTask<number>
  invalidateEnd(view: GmemFile<Binding>, start: number, end: number): KernelTask<void>
  /** Pages [start, end) have a new state, for which `zapped` guest mappings went. Called before invalidateEnd. */
  converted(view: GmemFile<Binding>, start: number, end: number, to: PageState, zapped: number): void
  /** ioctl(2) on the file: the numbers and structures are the hypervisor's. Throws KernelError. */
  ioctl(view: GmemFile<Binding>, process: Process, number: number, argument: UserArgument): KernelTask<number>
  /** The binding's file is gone: it must not be reached through this binding any more. */
  detach(binding: Binding): void
  /** The view's last reference is gone: runs `teardown` under the locks that guard bindings, then lets go of it. */
  release(teardown: () => KernelTask<void>): KernelTask<void>
}
