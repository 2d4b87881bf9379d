// convert: from the guest's ask to the conversion's end, and to the guest running again.

import { type Bench, repetitions } from '../bench.ts'
import { runBatches } from '../driver.ts'
import { conversionGuest } from '../guests.ts'
import { nodeHypervisor } from '../node.ts'
import { below, type Figure, figure } from '../report.ts'
import { places } from '../places.ts'
import type { BatchTimes } from '../trace-times.ts'

const NAME = 'convert'
/** Two conversions each. */
const ROUNDS = 400
const IDLE_ROUNDS = 100
const IDLE_US = 1000

export const convert: Bench = {
  name: NAME,
  about: 'guest ask to conversion done, one 4 KiB page',
  async run(context) {
    const figures: Figure[] = []
    const counts = { warm: 6, batches: repetitions(context, 12) }
    for (const { place, batches } of await places(context, runBatches, nodeHypervisor)) {
      figures.push(...busyFigures(place, await batches(conversionGuest(ROUNDS, 0), counts)))
      const idle = await batches(conversionGuest(IDLE_ROUNDS, IDLE_US), { ...counts, warm: 3 })
      const asks = idle.flatMap((batch) => batch.asks.each)
      figures.push(figure(NAME, `${place}: ask to done, 1 ms of guest work between`, 'us', asks))
    }
    return figures
  },
}

const busyFigures = (place: string, batches: readonly BatchTimes[]): Figure[] => {
  const asks = batches.flatMap((batch) => batch.asks.each)
  const waits = batches.flatMap((batch) => batch.conversions.each)
  const rates = batches.map(({ conversions }) => (conversions.each.length / conversions.span) * 1e6)
  return [
    figure(NAME, `${place}: ask to done, back to back`, 'us', asks, { goal: below(10) }),
    figure(NAME, `${place}: ask to guest running again`, 'us', waits),
    figure(NAME, `${place}: conversions, each with its two touches`, '1/s', rates),
  ]
}
