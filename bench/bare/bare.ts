// A page that draws nothing: the machine in the same hypervisor worker as the real page's, its console drained.
// The bench calls `bare` from outside.

import { connect } from '../../web/app/rpc.ts'
import { Driver, type Hypervisor, runBatches } from '../driver.ts'
import type { LoopName } from '../loops.ts'
import type { BatchTimes } from '../trace-times.ts'

const hypervisor = (): Hypervisor => {
  const worker = new Worker(new URL('../../worker/hypervisor.worker.ts', import.meta.url), {
    type: 'module',
    name: 'hypervisor',
  })
  const { api, terminate } = connect(worker, (message) => {
    throw new Error(message)
  })
  return { api, end: () => terminate('the bench is done') }
}

const loops = new Worker(new URL('./loops.worker.ts', import.meta.url), { type: 'module', name: 'loops' })
let monitor: Driver | null = null

/** What crosses from Node does so as JSON, so guests are arrays of bytes. */
const bare = {
  batches(kernel: readonly number[], counts: { warm: number; batches: number }): Promise<BatchTimes[]> {
    return runBatches(hypervisor(), Uint8Array.from(kernel), counts)
  },
  async boot(kernel: readonly number[]): Promise<void> {
    monitor = await Driver.create(hypervisor(), Uint8Array.from(kernel))
    await monitor.boot()
  },
  async command(line: string): Promise<string> {
    if (!monitor) throw new Error('no monitor has been booted')
    return monitor.command(line)
  },
  loopMips(name: LoopName): Promise<number> {
    return new Promise((resolve, reject) => {
      loops.onmessage = ({ data }: MessageEvent<number>) => resolve(data)
      loops.onerror = (event) => reject(new Error(event.message))
      loops.postMessage(name)
    })
  },
}

export type Bare = typeof bare

Object.assign(globalThis, { bare })
