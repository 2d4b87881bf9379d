import { expect, it } from 'vitest'
import { rangeFlags } from './range-flags.ts'

it('names the flags of a memslot and of a binding, whose bits differ', () => {
  expect(rangeFlags(1 << 2, false)).toEqual(['GUEST_MEMFD'])
  expect(rangeFlags(0x72, true)).toEqual(['FORCE_SHARE', 'ALLOW_READ', 'ALLOW_WRITE', 'ALLOW_EXEC'])
  expect(rangeFlags(0, true)).toEqual([])
})
