// Memory pressure: a process that takes anonymous memory until only so many frames are free, and gives it back.

import { hva, PAGE_SIZE } from '../base/units.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import { Process } from './process.ts'
import { pageOut, type ReclaimKind, reclaimable } from './reclaim.ts'
import { Syscalls } from './syscalls.ts'

/** The host's memory under pressure. Counts are frames. */
export interface PressureReport {
  readonly freeFrames: number
  readonly totalFrames: number
  /** Anonymous frames that the hog holds. */
  readonly hogFrames: number
  readonly kinds: readonly ReclaimKind[]
}

/** Pages touched between two chances for others to run. */
const BATCH = 256
const RESCHED: Step = { at: 'memory_hog/cond_resched', resched: true }

export class MemoryHog {
  readonly process: Process
  readonly #host: Host
  readonly #syscalls: Syscalls
  /** Start of the mapping; 0 before the first pressure. */
  #start = 0
  /** Pages of the mapping that are touched: the first ones. */
  #pages = 0

  constructor(host: Host) {
    this.#host = host
    this.process = new Process(host)
    this.#syscalls = new Syscalls(this.process)
  }

  /** Touches or drops pages until `frames` frames are free, or it can do no more; null: drops all. */
  *keepFree(frames: number | null): KernelTask<void> {
    const { buddy, memory } = this.#host
    if (frames === null) {
      yield* this.#drop(this.#pages)
      return
    }
    if (this.#start === 0) this.#start = yield* this.#syscalls.mmapAnonymous(memory.layout.frames * PAGE_SIZE)
    if (buddy.freeFrames < frames) yield* this.#drop(Math.min(this.#pages, frames - buddy.freeFrames))
    for (let n = 1; buddy.freeFrames > frames; n++) {
      const touched = yield* this.#syscalls.store(hva(this.#start + this.#pages * PAGE_SIZE), TOUCH)
      if (!touched.ok) break
      this.#pages++
      if (n % BATCH === 0) yield RESCHED
    }
    // What is short of memory looks at every folio there is.
    yield* pageOut(this.#host, memory.layout.firstFrame, memory.layout.frames)
  }

  *#drop(pages: number): KernelTask<void> {
    const end = this.#start + this.#pages * PAGE_SIZE
    this.#pages -= pages
    yield* this.process.zap(end - pages * PAGE_SIZE, end)
  }

  report(): PressureReport {
    const { buddy, memory } = this.#host
    return {
      freeFrames: buddy.freeFrames,
      totalFrames: memory.layout.frames - memory.layout.firstFrame,
      hogFrames: this.#pages,
      kinds: reclaimable(this.#host),
    }
  }
}

const TOUCH = Uint8Array.of(1)
