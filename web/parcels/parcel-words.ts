// A memory parcel in words: kind, rights and state as Gunyah's Resource Manager numbers them.

import type { ParcelRow } from '../../core/machine/view.ts'

const kinds = ['lend', 'share', 'donate'] as const
const states = ['INIT', 'SHARING', 'SHARED'] as const
/** The primary VM: Linux, the host. */
const HLOS = 3
const rights = [
  [4, 'R'],
  [2, 'W'],
  [1, 'X'],
] as const

export const kindName = ({ kind }: ParcelRow): string => kinds[kind] ?? String(kind)

/** `RW`, in the order that file modes have. */
export const rightsName = (row: ParcelRow): string =>
  rights
    .filter(([bit]) => row.rights & bit)
    .map(([, letter]) => letter)
    .join('') || 'none'

/** `SHARED, accepted`. */
export const stateName = ({ state, accepted }: ParcelRow): string =>
  `${states[state] ?? state}${accepted ? ', accepted' : ''}`

/** `host (3)`, `VM 49`. */
export const vmName = (vmid: number): string => (vmid === HLOS ? `host (${vmid})` : `VM ${vmid}`)
