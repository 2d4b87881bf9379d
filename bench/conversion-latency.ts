// Guest ask to conversion done: the monitor's own round trips, and what the VMM measured for each.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MachineView } from '../core/machine/view.ts'
import { traceEventNumber } from '../core/trace/events.ts'
import { createNodeMachine } from '../worker/node/platform.ts'

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]

const machine = createNodeMachine()
const kernel = readFileSync(join(process.env.GMEMSCOPE_ROOT ?? '.', 'public/guests/monitor.elf'))
const memory = await machine.create(
  { hostBytes: 512 * 2 ** 20, ramBytes: 128 * 2 ** 20, vcpus: 1, kernel, append: '', private: true },
  { notice: console.error, stopped: () => {} },
)
const view = new MachineView(memory)
let text = ''
const until = async (pattern: RegExp): Promise<void> => {
  while (!pattern.test(text)) {
    text += Buffer.from(view.console.drain(65536)).toString('latin1')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
await machine.run()
await until(/gmem> $/)
text = ''
await machine.consoleInput(new TextEncoder().encode('bench\r'))
await until(/gmem> $/)
console.log(text)
const done = traceEventNumber('gmemscope_convert_done')
const times = view.traces[0].read(0).records.filter((record) => record.event === done).map((record) => record.fields[4])
console.log('conversions', times.length, 'median ns', median(times))
const entries = view.traces[1].read(0).records.filter((r) => r.event<=1).slice(-40)
for (const e of entries) console.log(e.event?'exit':'entry', e.time.toFixed(1), e.fields[1])
const h = view.traces[0].read(0).records.slice(-60)
for (const e of h) console.log(e.event, e.time.toFixed(1))
process.exit(0)
