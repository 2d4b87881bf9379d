import { expect, test } from 'vitest'
import { Patience } from './patience.ts'

const times = (count: number, action: () => void): void => {
  for (let i = 0; i < count; i++) action()
}

test('what comes soon after parking makes it more patient, up to a ceiling', () => {
  const patience = new Patience()
  const first = patience.micros
  patience.parked(50)
  expect(patience.micros).toBe(2 * first)
  patience.parked(50)
  expect(patience.micros).toBe(4 * first)
  patience.parked(50)
  expect(patience.micros).toBe(4 * first)
})

test('what does not come for long starts it over', () => {
  const patience = new Patience()
  const first = patience.micros
  times(2, () => patience.parked(50))
  patience.parked(5000)
  expect(patience.micros).toBe(first)
})

test('longest spins in vain time after time: it parks at once for a while, then tries again', () => {
  const patience = new Patience()
  times(4, () => patience.parked(50))
  expect(patience.micros).toBe(0)
  times(16, () => patience.parked(50))
  expect(patience.micros).toBeGreaterThan(0)
  // In vain once more: the next while is twice as long, until a spin catches something.
  patience.parked(50)
  times(16, () => patience.parked(50))
  expect(patience.micros).toBe(0)
  times(16, () => patience.parked(50))
  expect(patience.micros).toBeGreaterThan(0)
  patience.caught()
  times(2, () => patience.parked(50))
  times(16, () => patience.parked(50))
  expect(patience.micros).toBeGreaterThan(0)
})
