// start: wall time of the command-line programs, from process start to exit, already built.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { type Bench, repetitions } from '../bench.ts'
import { MONITOR, root } from '../node.ts'
import { type Figure, figure } from '../report.ts'

const NAME = 'start'

const programs: Readonly<Record<string, readonly string[]>> = {
  'headless to the prompt, private': [
    'worker/node/headless.ts',
    ...['--kernel', MONITOR, '--private', '--until', 'gmem> '],
  ],
  'vectors with no group': [
    'scripts/vectors.ts',
    ...[join(root, 'core/kvm/testing/vectors/gmem-open.json'), '--group', 'none'],
  ],
}

/** Seconds until the program has ended. */
const wallTime = (args: readonly string[]): number => {
  const start = performance.now()
  const run = spawnSync(process.execPath, ['scripts/run.mjs', ...args], { cwd: root, encoding: 'utf8' })
  const seconds = (performance.now() - start) / 1000
  if (run.status !== 0) throw new Error(`${args.join(' ')} ended with ${run.status}: ${run.stderr}`)
  return seconds
}

export const start: Bench = {
  name: NAME,
  about: 'wall time of headless and vectors, already built',
  async run(context) {
    const names = Object.keys(programs)
    const samples = new Map<string, number[]>(names.map((name) => [name, []]))
    for (const name of names) wallTime(programs[name])
    for (let i = 0; i < repetitions(context, 9); i++)
      for (const name of names) samples.get(name)?.push(wallTime(programs[name]))
    return names.map((name): Figure => figure(NAME, name, 's', samples.get(name) ?? []))
  },
}
