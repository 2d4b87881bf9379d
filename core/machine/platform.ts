// What a machine needs from where it runs: threads, a clock, randomness, and someone to call its pump.

import type { Overlay } from '../devices/virtio-blk/overlay.ts'
import type { ThreadInit, VcpuInit } from './threads.ts'

/** What the hypervisor thread's main loop drives. */
export interface Pumped {
  /** Runs everything that can run; true when something was done. */
  pump(): boolean
  /** True: a core is free for spinning instead of parking. */
  hasCoreToSpare(): boolean
  /** Milliseconds until it wants to be pumped although nobody rings (slow motion); Infinity for never. */
  wantsPumpIn(): number
}

export interface Platform {
  /** The machine's epoch on the platform's shared scale, in milliseconds. */
  readonly epoch: number
  /** Processor cores of the real machine. */
  readonly cores: number
  /** A clock in ticks of TIMEBASE_HZ since an epoch, the same in every thread. */
  createClock(epoch: number): () => number
  randomBytes(count: number): Uint8Array
  /**
   * Opens what was kept of a guest's writes to a disk with this image, by its contents. Rejects with the cause and the
   * remedy. Absent: nothing can be kept here.
   */
  openOverlay?(image: Uint8Array): Promise<Overlay>
  /** Calls back after a turn of the event loop. */
  defer(callback: () => void): void
  /** Starts a vCPU thread and resolves when it is ready to block. */
  spawnVcpu(init: VcpuInit): Promise<unknown>
  spawnTimer(init: ThreadInit): Promise<unknown>
  /** Starts the loop that drives the machine until Header.STOP is set. */
  startPump(buffer: SharedArrayBuffer, pumped: Pumped): void
}
