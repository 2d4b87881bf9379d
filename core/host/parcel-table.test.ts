import { expect, test } from 'vitest'
import { HostMemory } from './host-memory.ts'
import { MAX_PARCEL_ROWS } from './layout.ts'
import type { ParcelRow } from './parcel-table.ts'

const row = (handle: number): ParcelRow => ({
  handle,
  owner: 3,
  borrower: 0x31,
  kind: 1,
  rights: 7,
  state: 2,
  accepted: handle % 2 === 0,
  ipa: 2 ** 40 + handle * 4096,
  pages: 2 ** 20,
})

test('rows come out as they went in, in another thread’s view too', () => {
  const memory = HostMemory.create(64 * 2 ** 20)
  const rows = [row(1), row(0xffff_fffe)]
  memory.parcels.write(rows)
  expect(HostMemory.attach(memory.memory).parcels.read()).toEqual(rows)
  memory.parcels.write([])
  expect(memory.parcels.read()).toEqual([])
})

test('what does not fit is left off, and said', () => {
  const { parcels, tables, folios } = HostMemory.create(64 * 2 ** 20)
  const before = [tables.readFiles(), folios.flags.slice(0, 16)]
  const rows = Array.from({ length: MAX_PARCEL_ROWS + 1 }, (_, i) => row(i))
  parcels.write(rows)
  expect([parcels.read(), parcels.truncated]).toEqual([rows.slice(0, -1), true])
  parcels.write(rows.slice(1))
  expect([parcels.read(), parcels.truncated]).toEqual([rows.slice(1), false])
  expect([tables.readFiles(), folios.flags.slice(0, 16)]).toEqual(before)
})
