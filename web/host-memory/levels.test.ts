import { expect, it } from 'vitest'
import { levelOf, levels } from './levels.ts'

it('leaves less at every step, and finds the step again', () => {
  const total = 128_509
  const kept = levels.map((level) => level.keepFree(total))
  expect(kept[0]).toBeNull()
  expect(kept.at(-1)).toBe(0)
  for (let i = 2; i < kept.length; i++) expect(Number(kept[i])).toBeLessThan(Number(kept[i - 1]))
  kept.forEach((frames, i) => {
    expect(levelOf(frames, total)).toBe(i)
  })
  expect(levelOf(12_345, total)).toBe(0)
})
