import { expect, it } from 'vitest'
import { Cell, describeCell } from './page-state.ts'

it('says where a frame is that Gunyah lent, put in a parcel or lost', () => {
  const held = Cell.allocated | Cell.uptodate | Cell.private
  expect(describeCell(held | Cell.lent)).toBe('up to date, out of the host’s stage 2')
  expect(describeCell(held | Cell.parcel)).toBe('up to date, in a parcel')
  expect(describeCell(Cell.lost)).toBe('lost to a guest')
})
