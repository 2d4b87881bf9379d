import { expect, test } from 'vitest'
import { parseHex } from './colours.ts'

test.each([
  ['#ffffff', [1, 1, 1]],
  ['#fff', [1, 1, 1]],
  ['#f80', [1, 136 / 255, 0]],
  [' #0000ff', [0, 0, 1]],
])('%s is read as the colour it names', (text, rgb) => {
  expect(parseHex(text)).toEqual(rgb)
})
