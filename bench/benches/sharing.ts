// sharing: what one guest memory core costs under two hypervisors, and what the host's stage 2 costs the host.

import { type Bench, repetitions } from '../bench.ts'
import { type Figure, figure } from '../report.ts'
import { HOST_LEAVES, type HostLeaves, hostLoadRates, sharedRates, sharedWork } from '../sharing-work.ts'

const NAME = 'sharing'
const ROUNDS = 5
/** Bytes of a load. */
const LOADS = [8, 4096]
const CASES = { none: 'no host stage 2', '2m': '2 MiB leaves', '4k': '4 KiB leaves' } as const

/** Per cent of each round. */
const share = (rates: readonly number[], base: readonly number[]): number[] =>
  rates.map((rate, i) => (100 * rate) / base[i])

export const sharing: Bench = {
  name: NAME,
  about: 'the guest memory core under KVM and under Gunyah, and the host’s own stage 2',
  async run(context) {
    if (!context.node) return []
    const rounds = repetitions(context, ROUNDS)
    const figures: Figure[] = []
    const add = (what: string, unit: string, samples: readonly number[]): void => {
      figures.push(figure(NAME, what, unit, samples))
    }
    for (const work of sharedWork) {
      const kvm: number[] = []
      const gunyah: number[] = []
      for (let round = 0; round < rounds; round++) {
        const rates = sharedRates(work)
        kvm.push(rates.KVM)
        gunyah.push(rates.Gunyah)
      }
      add(`${work.name}: KVM`, work.unit, kvm)
      add(`${work.name}: Gunyah`, work.unit, gunyah)
      add(`${work.name}: Gunyah, of KVM`, '%', share(gunyah, kvm))
      context.say(`${NAME}: ${work.name} done`)
    }
    for (const length of LOADS) {
      const rates: Record<HostLeaves, number[]> = { none: [], '2m': [], '4k': [] }
      for (let round = 0; round < rounds; round++) {
        const once = hostLoadRates(length)
        for (const leaves of HOST_LEAVES) rates[leaves].push(once[leaves])
      }
      const name = `host_load_${length}`
      for (const leaves of HOST_LEAVES) add(`${name}: ${CASES[leaves]}`, 'loads/s', rates[leaves])
      for (const leaves of ['2m', '4k'] as const)
        add(`${name}: ${CASES[leaves]}, of none`, '%', share(rates[leaves], rates.none))
      context.say(`${NAME}: ${name} done`)
    }
    return figures
  },
}
