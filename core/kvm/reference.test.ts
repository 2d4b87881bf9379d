// Random calls on every version and both folio stores: all answers are the reference model's, all invariants hold.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HostMemory } from '../host/host-memory.ts'
import { linuxVersions } from './behaviours.ts'
import { type KeptSequence, runSequence, sequences } from './testing/random-calls.ts'

const KEPT = join(import.meta.dirname, 'testing/kept')
const memory = HostMemory.create(64 * 2 ** 20)

describe.each(linuxVersions)('R1 Linux %s', (version) => {
  test.each(['xarray', 'filemap'] as const)('answers like the reference model, %s', (store) => {
    const property = fc.property(sequences(60), ([calls, seed]) => {
      runSequence(memory, { version, store, seed, calls })
    })
    fc.assert(property, { numRuns: 20 })
  })
})

test.each(readdirSync(KEPT))('R1 kept from a run that failed: %s', (name) => {
  const kept: KeptSequence = JSON.parse(readFileSync(join(KEPT, name), 'utf8'))
  expect(() => runSequence(memory, kept)).not.toThrow()
})
