// A million random calls against the reference model. The seed is in the test's name; a sequence that fails is shrunk
// and kept in testing/kept, from where every later `npm test` replays it.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HostMemory } from '../host/host-memory.ts'
import { linuxVersions } from './behaviours.ts'
import { runSequence, sequences } from './testing/random-calls.ts'

const CALLS = 1_000_000
const SEED = Date.now() % 2 ** 31
const memory = HostMemory.create(64 * 2 ** 20)
const configurations = linuxVersions.flatMap((version) =>
  (['xarray', 'filemap'] as const).map((store) => ({ version, store, seed: SEED })),
)

test.each(configurations)('R1 Linux $version, $store, seed $seed', ({ version, store, seed: first }) => {
  const share = Math.ceil(CALLS / configurations.length)
  let done = 0
  for (let seed = first; done < share; seed++) {
    const property = fc.property(sequences(200), ([calls, schedule]) => {
      runSequence(memory, { version, store, seed: schedule, calls })
      done += calls.length
    })
    const run = fc.check(property, { numRuns: 100, seed })
    if (run.failed && run.counterexample) {
      const [[calls, schedule]] = run.counterexample
      const kept = { version, store, seed: schedule, calls }
      const name = `linux-${version}-${store}-${seed}.json`
      writeFileSync(join(import.meta.dirname, 'testing/kept', name), `${JSON.stringify(kept, null, 1)}\n`)
    }
    expect(fc.defaultReportMessage(run) ?? '').toBe('')
  }
  expect(done).toBeGreaterThanOrEqual(share)
})
