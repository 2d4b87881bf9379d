// `npm run bench -- [NAME ...]`: measures, prints a table, and with --json FILE writes the figures.

import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'
import { convert } from './benches/convert.ts'
import { doorbell } from './benches/doorbell.ts'
import { faults } from './benches/faults.ts'
import { gmem } from './benches/gmem.ts'
import { frames, page } from './benches/page.ts'
import { sharing } from './benches/sharing.ts'
import { speed } from './benches/speed.ts'
import { start } from './benches/start.ts'
import { Chromium } from './browser.ts'
import { environment, type Figure, quiet, table } from './report.ts'

const benches: readonly Bench[] = [speed, page, frames, convert, faults, doorbell, gmem, sharing, start]

const USAGE = `usage: npm run bench -- [NAME ...] [options]

${benches.map(({ name, about }) => `  ${name.padEnd(16)}${about}`).join('\n')}

  --json FILE     the figures, for programs
  --in PLACE      node or chromium only (default both)
  --effort X      scales the number of repetitions (default 1)`

const usage = (problem: string): never => {
  console.error(`bench: ${problem}\n${USAGE}`)
  process.exit(2)
}

const readArguments = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'string' },
        in: { type: 'string' },
        effort: { type: 'string', default: '1' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error))
  }
}

const { values, positionals } = readArguments()
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}
const unknown = positionals.find((name) => !benches.some((bench) => bench.name === name))
if (unknown !== undefined) usage(`no bench is called ${unknown}`)
if (values.in !== undefined && values.in !== 'node' && values.in !== 'chromium') usage(`--in ${values.in}`)
const effort = Number(values.effort)
if (!(effort > 0)) usage(`--effort ${values.effort}`)

const chosen = positionals.length > 0 ? benches.filter(({ name }) => positionals.includes(name)) : benches
const say = (text: string): void => console.error(`bench: ${text}`)
const chromium = new Chromium()
const context = { chromium, node: values.in !== 'chromium', browser: values.in !== 'node', effort, say }
const loadBefore = loadavg()[0]
const figures: Figure[] = []
let version: string | null = null
let failed = false
try {
  for (const bench of chosen) {
    if (!(await quiet())) say('other programs are using the processor: expect slow spells')
    say(bench.name)
    try {
      figures.push(...(await bench.run(context)))
    } catch (error) {
      say(`${bench.name} failed: ${error instanceof Error ? error.message : String(error)}`)
      failed = true
    }
  }
  version = await chromium.version()
} finally {
  // Its servers are processes of their own.
  await chromium.close()
}
const where = environment(loadBefore, version === null ? {} : { chromium: version })
console.log(
  `${where.date}, ${where.cores} cores (${where.processor}), Node ${where.node}` +
    `${version === null ? '' : `, Chromium ${version}`}, load ${where.load.map((load) => load.toFixed(1)).join(' -> ')}\n`,
)
console.log(table(figures))
if (values.json) writeFileSync(values.json, `${JSON.stringify({ environment: where, figures }, null, 2)}\n`)
// Machines that ended still have their parked vCPU threads.
process.exit(failed ? 1 : 0)
