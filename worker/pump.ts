// The hypervisor worker's main loop: serve doorbells and kernel tasks at once, let messages in between, and
// sleep when there is nothing to do.
//
// While guests keep it busy the loop spins for a while before it parks: a doorbell is then answered in under
// 5 microseconds instead of 30 to 500 (measured; `Atomics.waitAsync` alone costs a turn of the event loop).

import { Patience } from '../core/base/patience.ts'
import type { Pumped } from '../core/machine/platform.ts'
import { Header } from '../core/machine/view.ts'

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
  const patience = new Patience()
  let turned = performance.now()
  while (Atomics.load(header, Header.STOP) === 0) {
    const rung = Atomics.load(header, Header.DOORBELL)
    Atomics.add(header, Header.HEARTBEAT, 1)
    let busyUntil = 0
    for (let now = performance.now(); ; now = performance.now()) {
      if (pumped.pump()) {
        if (busyUntil > 0) patience.caught()
        busyUntil = now + patience.micros / 1000
      }
      if (now >= busyUntil || now - turned > TURN_MS || !pumped.hasCoreToSpare()) break
    }
    if (performance.now() - turned > TURN_MS) {
      await turn()
      turned = performance.now()
      continue
    }
    const parked = performance.now()
    const longest = Math.min(BEAT_MS, pumped.wantsPumpIn())
    if (longest <= 0) continue
    Atomics.store(header, Header.DOORBELL_PARKED, 1)
    const wait = Atomics.waitAsync(header, Header.DOORBELL, rung, longest)
    if (wait.async) await wait.value
    Atomics.store(header, Header.DOORBELL_PARKED, 0)
    turned = performance.now()
    patience.parked((turned - parked) * 1000)
  }
}
