// doorbell: vCPU to KVM to VMM and back, by a load from where nothing is (KVM_EXIT_MMIO).

import { type Bench, repetitions } from '../bench.ts'
import { doorbellGuest } from '../guests.ts'
import { inEachPlace } from '../places.ts'
import { type Figure, figure } from '../report.ts'
import { mean } from '../stats.ts'

const NAME = 'doorbell'
const ROUNDS = 1500
const IDLE_ROUNDS = 150
const IDLE_US = 1000

export const doorbell: Bench = {
  name: NAME,
  about: 'round trip of an exit to the VMM',
  async run(context) {
    const figures: Figure[] = []
    const batches = repetitions(context, 12)
    await inEachPlace(context, async (place) => {
      const busy = await place.batches(doorbellGuest(ROUNDS, 0), { warm: 6, batches })
      const idle = await place.batches(doorbellGuest(IDLE_ROUNDS, IDLE_US), { warm: 3, batches })
      const trips = busy.flatMap((batch) => batch.faults.each)
      figures.push(
        figure(NAME, `${place.name}: back to back`, 'us', trips),
        figure(
          NAME,
          `${place.name}: back to back, mean of a batch`,
          'us',
          busy.map((batch) => mean(batch.faults.each)),
        ),
        figure(
          NAME,
          `${place.name}: after 1 ms without an exit`,
          'us',
          idle.flatMap((batch) => batch.faults.each),
        ),
      )
    })
    return figures
  },
}
