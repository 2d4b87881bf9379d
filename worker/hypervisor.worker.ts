// The hypervisor worker: the machine, its pump, and the page's way to it.

import { expose } from 'comlink'
import { Machine } from '../core/machine/machine.ts'
import type { ThreadInit, VcpuInit } from '../core/machine/threads.ts'
import { machineClock, sharedNow } from './clock.ts'
import { openOverlay } from './disk-overlay.ts'
import { pumpLoop } from './pump.ts'

/** Posts the first message and waits for the answer: nobody may block before every worker runs. */
const started = (worker: Worker, init: ThreadInit): Promise<Worker> =>
  new Promise((resolve, reject) => {
    worker.onmessage = () => {
      // From now on an error is a crash: unhandled here, it becomes the page's.
      worker.onerror = null
      resolve(worker)
    }
    worker.onerror = (event) => reject(new Error(`a worker did not start: ${event.message}`))
    worker.postMessage(init)
  })

const spawnVcpu = (init: VcpuInit): Promise<Worker> =>
  started(
    new Worker(new URL('./vcpu.worker.ts', import.meta.url), { type: 'module', name: `vcpu${init.index}` }),
    init,
  )

const spawnTimer = (init: ThreadInit): Promise<Worker> =>
  started(new Worker(new URL('./timer.worker.ts', import.meta.url), { type: 'module', name: 'timer' }), init)

const machine = new Machine({
  epoch: sharedNow(),
  cores: navigator.hardwareConcurrency,
  createClock: machineClock,
  openOverlay,
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  defer: (callback) => void setTimeout(callback, 1),
  spawnVcpu,
  spawnTimer,
  startPump: (buffer, pumped) => {
    pumpLoop(buffer, pumped).catch((error: unknown) => {
      // Out of the promise, so that it becomes the worker's `error` event: the page reports a crash.
      setTimeout(() => {
        throw error
      })
    })
  },
})

expose(machine)
