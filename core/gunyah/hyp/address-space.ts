// A guest's address space: its stage 2, and the flush that its vCPUs acknowledge.
//
// An unmap takes effect in the table at once, in the vCPUs' TLBs with the next flush. `unmaps` counts the first,
// `#flushed` says up to which of them the vCPUs have acknowledged; frames wait for that before anybody else gets them.

import type { Stage2 } from '../../hart/stage2.ts'
import type { Host } from '../../host/host.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { Mutex } from '../../host/locks.ts'

/** Completes when every vCPU in guest mode has dropped its translations. */
export type RemoteFlush = () => KernelTask<void>

export class AddressSpace {
  readonly vmid: number
  readonly stage2: Stage2
  /** Held by whoever changes the table, also while it waits for the flush. */
  readonly lock: Mutex
  /** Private gfns that the guest lets go; unmapping one takes it out. */
  readonly released = new Set<number>()
  /** The VM runs: what it has not released may be kept from the host. */
  running = false
  #remoteFlush: RemoteFlush
  #unmaps = 0
  #flushed = 0

  constructor(host: Host, vmid: number, stage2: Stage2, remoteFlush: RemoteFlush) {
    this.vmid = vmid
    this.stage2 = stage2
    this.lock = new Mutex(host, 'gunyah->addrspace_lock')
    this.#remoteFlush = remoteFlush
  }

  /** The guest agrees to lose [gfn, gfn + pages). */
  release(gfn: number, pages: number): void {
    for (let i = 0; i < pages; i++) this.released.add(gfn + i)
  }

  /** Leaves went: the vCPUs may still have them in their TLBs. */
  noteUnmap(): void {
    this.#unmaps++
  }

  /** vCPUs may have translations that the table has no more. */
  get needsFlush(): boolean {
    return this.#flushed < this.#unmaps || this.stage2.hasUnlinked
  }

  /** Returns once no vCPU has a translation that was unmapped before the call. Under `lock`. */
  *flush(): KernelTask<void> {
    if (!this.needsFlush) return
    const target = this.#unmaps
    yield* this.#remoteFlush()
    this.#flushed = target
    this.stage2.freeUnlinked()
  }
}
