// faults: stage-2 faults by a guest's first touches, each with a folio allocated, zeroed and mapped.

import { type Bench, repetitions } from '../bench.ts'
import { faultGuest } from '../guests.ts'
import { inEachPlace } from '../places.ts'
import { type Figure, figure } from '../report.ts'

const NAME = 'faults'
const PAGES = 1500

export const faults: Bench = {
  name: NAME,
  about: 'stage-2 faults of first touches, private and shared',
  async run(context) {
    const figures: Figure[] = []
    const batches = repetitions(context, 16)
    await inEachPlace(context, async (place) => {
      for (const half of ['private', 'shared'] as const) {
        const measured = await place.batches(faultGuest(PAGES, half === 'shared'), { warm: 6, batches })
        const each = measured.flatMap((batch) => batch.faults.each)
        const rates = measured.map((batch) => (batch.faults.each.length / batch.faults.span) * 1e6)
        figures.push(
          figure(NAME, `${place.name}: ${half} fault, exit to entry`, 'us', each),
          figure(NAME, `${place.name}: ${half} faults`, '1/s', rates),
        )
      }
    })
    return figures
  },
}
