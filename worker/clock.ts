// The machine's one clock, the same in every worker: ticks of 100 ns since the machine's epoch.

import { TIMEBASE_HZ } from '../core/machine/threads.ts'

const TICKS_PER_MS = TIMEBASE_HZ / 1000

/** Milliseconds on a scale that all workers of this page share. */
export const sharedNow = (): number => performance.timeOrigin + performance.now()

/** A clock for a machine whose epoch is `epoch` (a value of sharedNow). */
export const machineClock = (epoch: number): (() => number) => {
  // The difference of the two large numbers is taken once, so that a reading is one call and one product.
  const offset = performance.timeOrigin - epoch
  return () => Math.floor((performance.now() + offset) * TICKS_PER_MS)
}
