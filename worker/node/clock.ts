// The machine's clock in Node, where `performance` counts from another origin in every thread but hrtime does not.

import { TIMEBASE_HZ } from '../../core/machine/threads.ts'

/** Milliseconds on a scale that all threads of this process share. */
export const sharedNow = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** Readings taken to compare the two clocks: a thread's first ones can take a millisecond. */
const READINGS = 16

/** What to add to `performance.now()` of this thread to have sharedNow(). */
const originOffset = (): number => {
  // The second clock is read a little after the first: the largest difference is the one with the least delay.
  let offset = Number.NEGATIVE_INFINITY
  for (let i = 0; i < READINGS; i++) offset = Math.max(offset, sharedNow() - performance.now())
  return offset
}

/** A clock for a machine whose epoch is `epoch`: ticks of 100 ns. */
export const nodeClock = (epoch: number): (() => number) => {
  const offset = originOffset() - epoch
  return () => Math.floor((performance.now() + offset) * (TIMEBASE_HZ / 1000))
}
