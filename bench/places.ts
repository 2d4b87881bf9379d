// Where a bench runs its guests: this Node process, and Chromium's bare page.

import type { BenchContext } from './bench.ts'
import { runBatches } from './driver.ts'
import { nodeHypervisor } from './node.ts'
import type { BatchTimes } from './trace-times.ts'

export interface Place {
  readonly name: 'Node' | 'Chromium'
  batches(kernel: Uint8Array, counts: { warm: number; batches: number }): Promise<BatchTimes[]>
}

/** Calls `run` for each place the caller asked for, one after the other. */
export const inEachPlace = async (
  context: BenchContext,
  run: (place: Place) => Promise<void>,
): Promise<void> => {
  if (context.node)
    await run({
      name: 'Node',
      batches: (kernel, counts) => runBatches(nodeHypervisor(), kernel, counts),
    })
  if (!context.browser) return
  const page = await context.chromium.openBare()
  await run({ name: 'Chromium', batches: (kernel, counts) => page.batches(kernel, counts) })
  await page.close()
}
