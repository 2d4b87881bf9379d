// A vCPU's thread in Node.

import { parentPort, workerData } from 'node:worker_threads'
import { prepareVcpu, type VcpuInit } from '../../core/machine/threads.ts'
import { nodeClock } from './clock.ts'

const init = workerData as VcpuInit
const run = prepareVcpu(init, nodeClock(init.epoch))
parentPort?.postMessage('ready')
run()
