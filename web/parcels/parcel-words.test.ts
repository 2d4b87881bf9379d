import { expect, it } from 'vitest'
import type { ParcelRow } from '../../core/machine/view.ts'
import { kindName, rightsName, stateName, vmName } from './parcel-words.ts'

const row: ParcelRow = {
  handle: 7,
  owner: 3,
  borrower: 0x31,
  kind: 1,
  rights: 6,
  state: 2,
  accepted: true,
  ipa: 0x84000000,
  pages: 4,
}

it('says what a parcel is, who may do what with it, and how far it is', () => {
  expect([kindName(row), rightsName(row), stateName(row)]).toEqual(['share', 'RW', 'SHARED, accepted'])
  const lent = { ...row, kind: 0, rights: 7, state: 0, accepted: false }
  expect([kindName(lent), rightsName(lent), stateName(lent)]).toEqual(['lend', 'RWX', 'INIT'])
  expect(rightsName({ ...row, rights: 0 })).toBe('none')
})

it('names the host and the VMs', () => {
  expect([vmName(3), vmName(0x31)]).toEqual(['host (3)', 'VM 49'])
})
