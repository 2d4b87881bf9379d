// Runs of equal words: how the table twins say in few rows what a map says in many cells.

export interface Run {
  readonly start: number
  /** One past the last. */
  readonly end: number
  readonly value: number
}

/** The runs of equal values in `states`, at most `limit` of them, and how many were left out. */
export const equalRuns = (
  states: Uint16Array,
  limit: number,
): { readonly runs: readonly Run[]; readonly more: number } => {
  const runs: Run[] = []
  let more = 0
  for (let start = 0; start < states.length; ) {
    const value = states[start]
    let end = start + 1
    while (end < states.length && states[end] === value) end++
    if (runs.length < limit) runs.push({ start, end, value })
    else more++
    start = end
  }
  return { runs, more }
}
