// Keeps an inspection of the selected page fresh.

import { PAGE_SIZE } from '../../core/base/units.ts'
import type { PageInspection } from '../../core/machine/api.ts'
import { useFresh } from '../app/use-fresh.ts'

/** Contents change without any table moving: a guest's store leaves no trace. */
const PACE = { least: 200, most: 1_000 }
const BYTES = 32

export const useInspection = (gfn: number): PageInspection | null =>
  useFresh(gfn, (api) => api.inspect(gfn * PAGE_SIZE, BYTES), PACE)
