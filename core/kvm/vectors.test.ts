import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { profileByName } from './profiles.ts'
import { describeDifference, parseCases, Replayer } from './testing/replay.ts'

const file = new URL('./testing/vectors/gmem-open.json', import.meta.url)
const cases = parseCases(JSON.parse(readFileSync(file, 'utf8')))
const groups = new Set(cases.map((recorded) => recorded.group))
const replayer = new Replayer(profileByName('x86-6.18-default-vm'))

describe('K11 recorded vectors, x86-6.18-default-vm', () => {
  test.each([...groups])('%s', (group) => {
    const differences = cases
      .filter((recorded) => recorded.group === group)
      .flatMap((recorded) => {
        const difference = replayer.replay(recorded)
        return difference ? [describeDifference(recorded, difference)] : []
      })
    expect(differences).toEqual([])
  })
})

test('a result that differs is found and named', () => {
  const recorded = cases.find(({ id }) => id === 'create-size/zero')
  if (!recorded) throw new Error('the case is missing')
  const steps = recorded.steps.map((step, i) => (i === 1 ? { ...step, errno: 'EPERM' } : step))
  const difference = replayer.replay({ ...recorded, steps })
  expect(difference).toMatchObject({ step: 1, actual: { ret: -1, errno: 'EINVAL' } })
})

test('a document that is no list of cases is refused', () => {
  expect(() => parseCases({})).toThrow('not an array')
  expect(() => parseCases([{ id: 'a', group: 'b' }])).toThrow('lacks')
  expect(() => parseCases([{ id: 'a', group: 'b', steps: [{}] }])).toThrow('without op')
})
