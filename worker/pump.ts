// The hypervisor worker's main loop: serve doorbells and kernel tasks at once, let messages in between, and
// sleep when there is nothing to do.
//
// While guests keep it busy the loop spins for a moment before it parks: a doorbell is then answered in under
// 5 microseconds instead of 30 (measured; `Atomics.waitAsync` alone costs a turn of the event loop).

import type { Pumped } from '../core/machine/platform.ts'
import { Header } from '../core/machine/view.ts'

/** Spinning after the last piece of work, in milliseconds: longer than most guests need to ring again. */
const SPIN_MS = 0.05
/** Serving without a turn of the event loop, in milliseconds: messages from the page wait no longer. */
const TURN_MS = 4
/** Longest sleep, in milliseconds; also the heartbeat's period. */
const BEAT_MS = 50

/** A turn of the event loop, without the clamped delay of timers. */
const createTurn = (): (() => Promise<void>) => {
  const { port1, port2 } = new MessageChannel()
  let resume: (() => void) | null = null
  port1.onmessage = () => {
    resume?.()
    resume = null
  }
  return () =>
    new Promise((resolve) => {
      resume = resolve
      port2.postMessage(0)
    })
}

/** Runs until `stop` is set in the header. */
export const pumpLoop = async (buffer: SharedArrayBuffer, pumped: Pumped): Promise<void> => {
  const header = new Int32Array(buffer, 0, 1024)
  const turn = createTurn()
  let turned = performance.now()
  while (Atomics.load(header, Header.STOP) === 0) {
    const rung = Atomics.load(header, Header.DOORBELL)
    Atomics.add(header, Header.HEARTBEAT, 1)
    let busyUntil = 0
    for (let now = performance.now(); ; now = performance.now()) {
      if (pumped.pump()) busyUntil = now + SPIN_MS
      if (now >= busyUntil || now - turned > TURN_MS) break
    }
    if (performance.now() - turned > TURN_MS) {
      await turn()
      turned = performance.now()
      continue
    }
    const patience = Math.min(BEAT_MS, pumped.wantsPumpIn())
    if (patience <= 0) continue
    Atomics.store(header, Header.DOORBELL_PARKED, 1)
    const wait = Atomics.waitAsync(header, Header.DOORBELL, rung, patience)
    if (wait.async) await wait.value
    Atomics.store(header, Header.DOORBELL_PARKED, 0)
    turned = performance.now()
  }
}
