// Replays a vector file: first differences, then `N passed, M failed` (cases).
// usage: npm run -s vectors -- FILE [--group G,H*] [--profile P] [--show N]
// exit: 0 all passed, 1 some failed, 2 bad arguments or file
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type HostProfile, profiles } from '../core/kvm/profiles.ts'
import { type Case, describeDifference, parseCases, Replayer } from '../core/kvm/testing/replay.ts'

const DEFAULT_PROFILE = 'x86-6.18-default-vm'

const fail = (message: string): never => {
  console.error(`vectors: ${message}`)
  process.exit(2)
}

const readArguments = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        group: { type: 'string', multiple: true },
        profile: { type: 'string', default: DEFAULT_PROFILE },
        show: { type: 'string', default: '10' },
      },
    })
  } catch (error) {
    return fail((error as Error).message)
  }
}

const readCases = (file: string): Case[] => {
  try {
    return parseCases(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    return fail(`${file}: ${(error as Error).message}`)
  }
}

/** A group argument: names separated by commas, each may end in `*`. */
const matcher = (groups: readonly string[]): ((group: string) => boolean) => {
  const names = groups.flatMap((list) => list.split(','))
  if (names.length === 0) return () => true
  return (group) =>
    names.some((name) => (name.endsWith('*') ? group.startsWith(name.slice(0, -1)) : group === name))
}

const { values, positionals } = readArguments()
const [file] = positionals
if (!file || positionals.length > 1) fail('give one FILE')
const profile = profiles.get(String(values.profile))
if (!profile) fail(`no profile ${values.profile}; there are ${[...profiles.keys()].join(', ')}`)

const wanted = matcher(values.group ?? [])
const replayer = new Replayer(profile as HostProfile)
let passed = 0
let failed = 0
for (const recorded of readCases(file as string)) {
  if (!wanted(recorded.group)) continue
  const difference = replayer.replay(recorded)
  if (!difference) {
    passed++
    continue
  }
  failed++
  if (failed <= Number(values.show)) console.log(describeDifference(recorded, difference))
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
