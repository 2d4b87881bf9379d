// How much host memory another process leaves free: the steps that the pressure slider offers.

import { count } from '../app/format.ts'

export interface Level {
  /** For a person. */
  readonly text: string
  /** Frames left free of `total`; null: the process takes nothing. */
  readonly keepFree: (total: number) => number | null
}

const share = (part: number) => (total: number) => Math.floor(total * part)

/** A few frames: enough for the guest to run on for a moment. */
const FEW = 64

export const levels: readonly Level[] = [
  { text: 'no pressure', keepFree: () => null },
  { text: 'half is left', keepFree: share(1 / 2) },
  { text: 'a quarter is left', keepFree: share(1 / 4) },
  { text: 'a tenth is left', keepFree: share(1 / 10) },
  { text: '1 % is left', keepFree: share(1 / 100) },
  { text: `${count(FEW)} frames are left`, keepFree: () => FEW },
  { text: 'nothing is left', keepFree: () => 0 },
]

/** The step at which `keepFree` frames of `total` are left. */
export const levelOf = (keepFree: number | null, total: number): number =>
  Math.max(
    0,
    levels.findIndex((level) => level.keepFree(total) === keepFree),
  )
