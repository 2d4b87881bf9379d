// The long run of the real-thread stress: many seeds, a minute in all.

import { expect, test } from 'vitest'
import { stress } from './testing/run.ts'

test.each(Array.from({ length: 12 }, (_, index) => [Date.now() + index]))(
  'M1-M3, F1-F3 hold under real threads, seed %i',
  async (seed) => {
    const { status, report } = await stress(5, seed)
    expect(report).toMatchObject({ ended: '', violations: [] })
    expect(status).toBe(0)
  },
)
