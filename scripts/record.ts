// Has this machine's kernel perform cases and compares: with a vector file, or with the emulated kernel.
// usage: see `usage` below, or npm run -s record -- --help
// exit: 0 all agree, 1 some differ, 2 bad arguments or no KVM with guest_memfd here
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { profileByName } from '../core/kvm/profiles.ts'
import { firstDifference, informative, shrink, withoutAnswers } from '../core/kvm/testing/native/compare.ts'
import { generate } from '../core/kvm/testing/native/generate.ts'
import { Recorder } from '../core/kvm/testing/native/recorder.ts'
import { type Case, describeDifference, parseCases, Replayer } from '../core/kvm/testing/replay.ts'

const usage = `usage: npm run -s record -- FILE [--write FILE]
         performs a vector file's cases here and shows where the answers differ from those in the file
       npm run -s record -- [--seed N] [--count N] [--group G] [--show N] [--write FILE [--limit BYTES]]
         performs generated cases here and shows where the emulated kernel answers otherwise
       --write FILE writes the cases with this kernel's answers, --limit the most informative of them only`

const fail = (message: string): never => {
  console.error(message)
  process.exit(2)
}

const readArguments = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seed: { type: 'string', default: '1' },
        count: { type: 'string', default: '1000' },
        group: { type: 'string' },
        show: { type: 'string', default: '10' },
        write: { type: 'string' },
        limit: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    return fail(`record: ${(error as Error).message}\n${usage}`)
  }
}

const root = process.env.GMEMSCOPE_ROOT ?? '.'
const { values, positionals } = readArguments()
if (values.help) {
  console.log(usage)
  process.exit(0)
}
if (positionals.length > 1) fail(`record: give one FILE\n${usage}`)

const recorder = Recorder.build(join(root, 'core/kvm/testing/native/recorder.c'), join(root, '.cache/native'))
if (!recorder) {
  console.error('record: this machine has no C compiler, or no KVM that offers guest_memfd')
  process.exit(2)
}

/** The first of each kind of difference is shown; kinds are told apart by call and answers. */
const kinds = new Map<string, number>()
const report = (recorded: Case, show: () => string): void => {
  const difference = firstDifference(recorded, replayer)
  const kind = difference
    ? JSON.stringify([difference.call.op, difference.expected, difference.actual])
    : recorded.id
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  if (kinds.get(kind) === 1 && kinds.size <= Number(values.show)) console.log(show())
}

const replayer = new Replayer(profileByName('x86-6.18-default-vm'))
let failed = 0
let cases: Case[]
if (positionals[0]) {
  const file = parseCases(JSON.parse(readFileSync(positionals[0], 'utf8')))
  cases = recorder.record(file.map(withoutAnswers))
  for (const [i, recorded] of file.entries()) {
    const step = recorded.steps.findIndex((s, j) => JSON.stringify(s) !== JSON.stringify(cases[i].steps[j]))
    if (step < 0) continue
    failed++
    console.log(
      `${recorded.id} step ${step}: file ${JSON.stringify(recorded.steps[step])}\n  here ${JSON.stringify(cases[i].steps[step])}`,
    )
  }
} else {
  cases = recorder.record(generate(Number(values.seed), Number(values.count), values.group))
  for (const recorded of cases) {
    const difference = firstDifference(recorded, replayer)
    if (!difference) continue
    failed++
    report(recorded, () => {
      const small = shrink(recorded, recorder, replayer)
      const found = firstDifference(small, replayer) ?? difference
      return `${small.steps.map((step) => `    ${JSON.stringify(step)}`).join('\n')}\n${describeDifference(small, found)}`
    })
  }
}
if (values.write) {
  const written = values.limit ? informative(cases, Number(values.limit)) : cases
  const text = written.map(
    ({ steps, ...head }) =>
      `${JSON.stringify(head).slice(0, -1)},"steps":[\n${steps.map((step) => JSON.stringify(step)).join(',\n')}]}`,
  )
  writeFileSync(values.write, `[\n${text.join(',\n')}\n]\n`)
}
const steps = cases.reduce((sum, recorded) => sum + recorded.steps.length, 0)
console.log(
  `${cases.length - failed} agree, ${failed} differ (${steps} steps, ${kinds.size} kinds of difference)`,
)
process.exitCode = failed > 0 ? 1 : 0
