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
for (let i = 0; i < 4; i++) {
  text = ''
  await machine.consoleInput(new TextEncoder().encode('bench\r'))
  await until(/gmem> $/)
  console.log(text)
}
const done = traceEventNumber('gmemscope_convert_done')
const times = view.traces[0].read(0).records.filter((record) => record.event === done).map((record) => record.fields[4])
console.log('conversions', times.length, 'median ns', median(times))
const us = view.traces[0].read(0).records
const vs = view.traces[1].read(0).records
const exits = us.filter((r) => r.event === 2).map((r) => r.time)
const dones = us.filter((r) => r.event === done).map((r) => r.time)
const ec = vs.filter((r) => r.event === 1 && r.fields[1] === 10).map((r) => r.time)
const en = vs.filter((r) => r.event === 0).map((r) => r.time)
const nextAfter = (list: number[], t: number) => list.find((x) => x >= t) ?? NaN
const a: number[] = [], b: number[] = [], c: number[] = []
for (const e of exits.slice(-200)) {
  const before = ec.filter((x) => x <= e).at(-1) ?? NaN
  const d = nextAfter(dones, e)
  const n = nextAfter(en, d)
  if (e - before < 5000) a.push(e - before)
  b.push(d - e)
  c.push(n - d)
}
const q = (l: number[]) => { l.sort((x, y) => x - y); return [0.1, 0.5, 0.9].map((p) => l[Math.floor(l.length * p)]?.toFixed(1)) }
console.log('exit->user', q(a), 'user->done', q(b), 'done->entry', q(c), a.length)
process.exit(0)
