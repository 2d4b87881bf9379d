// The emulated host kernel: memory, allocator, scheduler, lock checking and tracing, handed to everything above.

import { traceEventNumber } from '../trace/events.ts'
import type { TraceRing } from '../trace/ring.ts'
import { BuddyAllocator } from './buddy.ts'
import type { HostMemory } from './host-memory.ts'
import { Lockdep } from './lockdep.ts'
import type { LockContext } from './locks.ts'
import { Scheduler } from './scheduler.ts'

export interface HostOptions {
  /** Fill freed frames with 0xa5, so that a missing zeroing shows. */
  readonly poison?: boolean
  /** Microseconds since the machine's epoch, for trace records. */
  readonly clock?: () => number
}

export class Host implements LockContext {
  readonly memory: HostMemory
  readonly buddy: BuddyAllocator
  readonly lockdep = new Lockdep()
  readonly scheduler = new Scheduler()
  readonly #ring: TraceRing
  readonly #clock: () => number
  readonly #numbers = new Map<string, number>()
  #inodes = 0
  #processes = 0

  constructor(memory: HostMemory, options: HostOptions = {}) {
    this.memory = memory
    this.buddy = new BuddyAllocator(memory, options.poison ?? false)
    this.#ring = memory.traceRing(0)
    const epoch = Date.now()
    this.#clock = options.clock ?? (() => (Date.now() - epoch) * 1000)
  }

  nextInode(): number {
    return ++this.#inodes
  }

  nextProcess(): number {
    return ++this.#processes
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
