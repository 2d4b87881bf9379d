import { expect, it } from 'vitest'
import { hexdump } from './hexdump.ts'

it('shows offset, bytes and characters, eight a row', () => {
  expect(hexdump(Uint8Array.from([0x67, 0x6d, 0x65, 0x6d, 0, 0x7f, 0xff, 0x20, 0x41]))).toBe(
    '000  67 6d 65 6d 00 7f ff 20  gmem··· \n008  41                       A',
  )
})
