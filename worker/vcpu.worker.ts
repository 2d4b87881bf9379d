// A vCPU's worker. A leaf: told everything by its first message, after which it blocks for good.

import { prepareVcpu, type VcpuInit } from '../core/machine/threads.ts'
import { machineClock } from './clock.ts'

self.onmessage = ({ data }: MessageEvent<VcpuInit>) => {
  const run = prepareVcpu(data, machineClock(data.epoch))
  self.postMessage('ready')
  run()
}
