// Checks of the arguments that hypercalls have in common. Hypercalls take what any VM passes: nothing is trusted.

import { PAGE_SIZE } from '../../base/units.ts'
import { STAGE2_GFNS } from '../../hart/stage2.ts'
import { HypError } from './error.ts'

/** Frames [pfn, pfn + pages) of a host of `frames` frames. */
export const checkFrames = (pfn: number, pages: number, frames: number): HypError => {
  if (!Number.isSafeInteger(pfn) || pfn < 0) return HypError.ARGUMENT_INVALID
  if (!Number.isSafeInteger(pages) || pages <= 0) return HypError.ARGUMENT_SIZE
  return pfn + pages > frames ? HypError.ADDR_INVALID : HypError.OK
}

/** `pages` pages of guest addresses from `gpa` on. */
export const checkGuestRange = (gpa: number, pages: number): HypError => {
  if (!Number.isFinite(gpa) || gpa < 0 || gpa % PAGE_SIZE !== 0) return HypError.ARGUMENT_ALIGNMENT
  return gpa / PAGE_SIZE + pages > STAGE2_GFNS ? HypError.ADDR_OVERFLOW : HypError.OK
}
