// A machine in this Node process: threads, clock and pump for core's Machine.

import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { Machine } from '../../core/machine/machine.ts'
import { pumpLoop } from '../pump.ts'
import { nodeClock, sharedNow } from './clock.ts'

/** Starts a thread and waits until it is ready; it does not keep the process alive. */
const started = (file: URL, init: unknown): Promise<void> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(file, { workerData: init })
    worker.once('message', () => {
      worker.unref()
      resolve()
    })
    worker.once('error', reject)
  })

/** The hypervisor runs in the calling thread; vCPUs and timer in threads of their own. */
export const createNodeMachine = (): Machine =>
  new Machine({
    epoch: sharedNow(),
    cores: availableParallelism(),
    createClock: nodeClock,
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
    defer: (callback) => void setTimeout(callback, 1),
    spawnVcpu: (init) => started(new URL('./vcpu.node.ts', import.meta.url), init),
    spawnTimer: (init) => started(new URL('./timer.node.ts', import.meta.url), init),
    startPump: (buffer, pumped) => {
      // A pending Atomics.waitAsync does not keep Node alive; this timer does while the machine runs.
      const alive = setInterval(() => {}, 60_000)
      void pumpLoop(buffer, pumped).finally(() => clearInterval(alive))
    },
  })
