// The timer's worker. A leaf: told everything by its first message, after which it blocks for good.

import { runTimer, type ThreadInit } from '../core/machine/threads.ts'

self.onmessage = ({ data }: MessageEvent<ThreadInit>) => {
  self.postMessage('ready')
  runTimer(data)
}
