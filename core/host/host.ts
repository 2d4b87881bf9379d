// The emulated host kernel: memory, allocator, scheduler, lock checking and tracing, handed to everything above.

import type { Pfn } from '../base/units.ts'
import { traceEventNumber } from '../trace/events.ts'
import type { TraceRing } from '../trace/ring.ts'
import { BuddyAllocator } from './buddy.ts'
import { FolioLocks } from './folio-lock.ts'
import type { HostMemory } from './host-memory.ts'
import type { HostStage2 } from './host-stage2.ts'
import { Lockdep } from './lockdep.ts'
import type { LockContext } from './locks.ts'
import { Lru } from './lru.ts'
import type { PageCache } from './memory-failure.ts'
import type { Pipe } from './pipe.ts'
import type { Process } from './process.ts'
import { Scheduler } from './scheduler.ts'

export interface HostOptions {
  /** Fill freed frames with 0xa5, so that a missing zeroing shows. */
  readonly poison?: boolean
  /** Microseconds since the machine's epoch, for trace records. */
  readonly clock?: () => number
  /** NUMA nodes, each with half of the memory; default 1. */
  readonly nodes?: 1 | 2
}

export class Host implements LockContext {
  readonly memory: HostMemory
  readonly buddy: BuddyAllocator
  readonly lockdep = new Lockdep()
  readonly scheduler = new Scheduler()
  /** Every process that has not exited. */
  readonly processes = new Set<Process>()
  /** Every file that holds folios. */
  readonly pageCaches = new Set<PageCache>()
  /** Every pipe with an open end. */
  readonly pipes = new Set<Pipe>()
  /** Set by a hypervisor that runs below the host; null: the host reaches all of its memory. */
  stage2: HostStage2 | null = null
  readonly lru: Lru
  readonly folioLocks: FolioLocks
  readonly #ring: TraceRing
  readonly #clock: () => number
  readonly #numbers = new Map<string, number>()
  #inodes = 0
  #processes = 0

  constructor(memory: HostMemory, options: HostOptions = {}) {
    this.memory = memory
    this.buddy = new BuddyAllocator(memory, options.poison ?? false, options.nodes ?? 1)
    this.lru = new Lru(memory.folios, this.buddy, this.scheduler)
    this.folioLocks = new FolioLocks(memory.folios)
    this.#ring = memory.traceRing(0)
    const epoch = Date.now()
    this.#clock = options.clock ?? (() => (Date.now() - epoch) * 1000)
  }

  /** The host's stage 2 lets it reach the frame. */
  reaches(pfn: Pfn, write: boolean): boolean {
    return this.stage2 === null || this.stage2.allows(pfn, write)
  }

  nextInode(): number {
    return ++this.#inodes
  }

  nextProcess(): number {
    return ++this.#processes
  }

  /** Microseconds since the machine's epoch. */
  now(): number {
    return this.#clock()
  }

  /** Writes a trace record (thread 0) and tells readers of the shared tables that something changed. */
  trace(event: string, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): void {
    let number = this.#numbers.get(event)
    if (number === undefined) {
      number = traceEventNumber(event)
      this.#numbers.set(event, number)
    }
    this.#ring.write(number, 0, this.#clock(), a, b, c, d, e, f)
    this.memory.bumpGeneration()
  }
}
