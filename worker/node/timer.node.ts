// The timer's thread in Node.

import { parentPort, workerData } from 'node:worker_threads'
import { runTimer, type ThreadInit } from '../../core/machine/threads.ts'

parentPort?.postMessage('ready')
runTimer(workerData as ThreadInit)
