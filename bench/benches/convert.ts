// convert: from the guest's ask to the conversion's end, and to the guest running again.

import { type Bench, repetitions } from '../bench.ts'
import { conversionGuest } from '../guests.ts'
import { inEachPlace } from '../places.ts'
import { below, type Figure, figure } from '../report.ts'
import type { BatchTimes } from '../trace-times.ts'

const NAME = 'convert'
/** Two conversions each. */
const ROUNDS = 400
const IDLE_ROUNDS = 100
const IDLE_US = 1000

const busyFigures = (place: string, batches: readonly BatchTimes[]): Figure[] => {
  const asks = batches.flatMap((batch) => batch.asks.each)
  const waits = batches.flatMap((batch) => batch.conversions.each)
  const rates = batches.map(({ conversions }) => (conversions.each.length / conversions.span) * 1e6)
  return [
    figure(NAME, `${place}: ask to done, back to back`, 'us', asks, { goal: below(10) }),
    figure(NAME, `${place}: ask to guest running again`, 'us', waits),
    figure(NAME, `${place}: conversions, each with its touch`, '1/s', rates),
  ]
}

export const convert: Bench = {
  name: NAME,
  about: 'guest ask to conversion done, one 4 KiB page',
  async run(context) {
    const figures: Figure[] = []
    const batches = repetitions(context, 12)
    await inEachPlace(context, async (place) => {
      figures.push(
        ...busyFigures(place.name, await place.batches(conversionGuest(ROUNDS, 0), { warm: 8, batches })),
      )
      const idle = await place.batches(conversionGuest(IDLE_ROUNDS, IDLE_US), { warm: 4, batches })
      const asks = idle.flatMap((batch) => batch.asks.each)
      figures.push(figure(NAME, `${place.name}: ask to done, after 1 ms without an exit`, 'us', asks))
    })
    return figures
  },
}
