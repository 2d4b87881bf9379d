import { expect, it } from 'vitest'
import { indexTerms } from './xarray-terms.ts'

it('writes an index as the slots taken on the way down', () => {
  const steps = [
    { level: 2, index: 4, entry: 'node' },
    { level: 1, index: 1, entry: 'node' },
    { level: 0, index: 3, entry: 'folio' },
  ]
  expect(indexTerms(steps)).toBe('4 × 64² + 1 × 64 + 3')
  expect(steps.reduce((sum, { level, index }) => sum + index * 64 ** level, 0)).toBe(0x4043)
})
