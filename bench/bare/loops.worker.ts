// The engine's loops in a worker, where vCPUs run too.

import { type LoopName, loopMips } from '../loops.ts'

self.onmessage = async ({ data }: MessageEvent<LoopName>) => {
  self.postMessage(await loopMips(data))
}
