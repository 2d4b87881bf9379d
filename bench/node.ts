// Machines in this Node process, as the headless runner has them.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Header } from '../core/machine/view.ts'
import { createNodeMachine } from '../worker/node/platform.ts'
import type { Hypervisor } from './driver.ts'

export const root: string = process.env.GMEMSCOPE_ROOT ?? process.cwd()
export const MONITOR: string = join(root, 'public/guests/monitor.elf')
export const readMonitor = (): Uint8Array => readFileSync(MONITOR)

/** A hypervisor in this thread. Ended, its pump and timer stop and its vCPU stays parked. */
export const nodeHypervisor = (): Hypervisor => ({
  api: createNodeMachine(),
  end: ({ buffer }) => {
    const header = new Int32Array(buffer, 0, 1024)
    Atomics.store(header, Header.STOP, 1)
    Atomics.notify(header, Header.STOP)
  },
})
