import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { equalRuns } from './runs.ts'

describe('equalRuns', () => {
  it('tells the same as the words', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 1, 0x100, 0x8001)), (values) => {
        const { runs, more } = equalRuns(Uint16Array.from(values), Number.POSITIVE_INFINITY)
        expect(more).toBe(0)
        expect(runs.flatMap(({ start, end, value }) => new Array(end - start).fill(value))).toEqual(values)
        // Maximal: neighbours differ.
        for (let i = 1; i < runs.length; i++) expect(runs[i].value).not.toBe(runs[i - 1].value)
      }),
    )
  })

  it('counts what it leaves out', () => {
    expect(equalRuns(Uint16Array.of(0, 1, 0, 1), 2)).toEqual({
      runs: [
        { start: 0, end: 1, value: 0 },
        { start: 1, end: 2, value: 1 },
      ],
      more: 2,
    })
  })
})
