// speed: guest instructions a second, on the bare engine and in the whole machine, beside QEMU.

import { type Bench, type BenchContext, repetitions } from '../bench.ts'
import type { BarePage } from '../browser.ts'
import { Driver } from '../driver.ts'
import { type LoopName, loopMips, loopNames } from '../loops.ts'
import { type MonitorBench, monitorBench } from '../monitor-output.ts'
import { nodeHypervisor, readMonitor } from '../node.ts'
import { Qemu } from '../qemu.ts'
import { atLeast, type Figure, figure } from '../report.ts'

const NAME = 'speed'

/** One sample list per key, filled in turn so that a slow spell of the computer falls on all alike. */
class Samples<K extends string> {
  readonly #lists = new Map<K, number[]>()

  add(key: K, value: number): void {
    const list = this.#lists.get(key) ?? []
    list.push(value)
    this.#lists.set(key, list)
  }

  get(key: K): readonly number[] {
    return this.#lists.get(key) ?? []
  }
}

/** The four loops on the engine alone. */
const engineLoops = async (context: BenchContext, page: BarePage | null): Promise<Figure[]> => {
  const places: Record<string, (name: LoopName) => Promise<number>> = {}
  if (context.node) places.Node = loopMips
  if (page) places.Chromium = (name) => page.loopMips(name)
  const samples = new Samples<string>()
  for (let i = 0; i < repetitions(context, 7); i++)
    for (const loop of loopNames)
      for (const [place, run] of Object.entries(places))
        samples.add(`${place}: ${loop} loop`, await run(loop))
  return Object.keys(places).flatMap((place) =>
    loopNames.map((loop) => {
      const name = `${place}: ${loop} loop`
      const goal = loop === 'integer' ? atLeast(250) : undefined
      return figure(NAME, name, 'MIPS', samples.get(name), { goal })
    }),
  )
}

/** The monitor's own `bench` in each place and in QEMU, in turn. */
const monitorFigures = async (context: BenchContext, page: BarePage | null): Promise<Figure[]> => {
  const places: Record<string, (line: string) => Promise<string>> = {}
  const ends: (() => void)[] = []
  if (context.node) {
    const driver = await Driver.create(nodeHypervisor(), readMonitor())
    await driver.boot()
    places.Node = (line) => driver.command(line)
    ends.push(() => driver.end())
  }
  if (page) {
    await page.bootMonitor()
    places.Chromium = (line) => page.command(line)
  }
  const qemu = await Qemu.boot()
  if (qemu) {
    places.QEMU = (line) => qemu.command(line)
    ends.push(() => qemu.end())
    context.say(qemu.version)
  } else context.say('qemu-system-riscv64 is not installed: no peer')

  // QEMU's instret counts the host's clock ticks, so only the memory stream, timed by itself, is compared.
  const rounds: Record<string, MonitorBench>[] = []
  for (let i = 0; i <= repetitions(context, 5); i++) {
    const round: Record<string, MonitorBench> = {}
    for (const [place, command] of Object.entries(places)) round[place] = monitorBench(await command('bench'))
    if (i > 0) rounds.push(round) // the first one warms up
  }
  for (const end of ends) end()
  return Object.keys(places).flatMap((place) => [
    ...(place === 'QEMU'
      ? []
      : [
          figure(
            NAME,
            `${place}: monitor, integer`,
            'MIPS',
            rounds.map((round) => round[place].mips),
            { goal: place === 'Chromium' ? atLeast(250) : undefined },
          ),
        ]),
    figure(
      NAME,
      `${place}: monitor, memory stream`,
      'MB/s',
      rounds.map((round) => round[place].stream),
    ),
    ...(qemu && place !== 'QEMU'
      ? [
          figure(
            NAME,
            `${place}: stream, of QEMU's`,
            '%',
            rounds.map((r) => (100 * r[place].stream) / r.QEMU.stream),
          ),
        ]
      : []),
  ])
}

export const speed: Bench = {
  name: NAME,
  about: 'guest instructions a second, beside QEMU',
  async run(context) {
    const page = context.browser ? await context.chromium.openBare() : null
    const figures = [...(await engineLoops(context, page)), ...(await monitorFigures(context, page))]
    await page?.close()
    return figures
  },
}
