// An index as the slots that an xarray's nodes give it.

import type { WalkStep } from '../../core/machine/api.ts'

/** What `index` is made of: `1 × 64² + 0 × 64 + 4`. */
export const indexTerms = (steps: readonly WalkStep[]): string =>
  steps
    .map(({ level, index }) => {
      if (level === 0) return `${index}`
      return level === 1
        ? `${index} × 64`
        : `${index} × 64${[...`${level}`].map((d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(d)]).join('')}`
    })
    .join(' + ')
