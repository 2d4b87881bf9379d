// The machine's clock in Node, where `performance` counts from another origin in every thread but hrtime does not.

import { TIMEBASE_HZ } from '../../core/machine/threads.ts'

/** Milliseconds on a scale that all threads of this process share. */
export const sharedNow = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** A clock for a machine whose epoch is `epoch`: ticks of 100 ns. */
export const nodeClock = (epoch: number): (() => number) => {
  const offset = sharedNow() - performance.now() - epoch
  return () => Math.floor((performance.now() + offset) * (TIMEBASE_HZ / 1000))
}
