// What the band's pixel rows say: for each row the kinds and shares of the pages that fall on it.

import { ROW_BYTES, RowKind } from '../gl/band-map.ts'
import { GuestPage, isMismatch } from '../model/page-state.ts'
import type { Axis, Segment, Window } from './axis.ts'

/** A page at least this many pixels high is drawn with an edge. */
const EDGE_PIXELS = 5

const slotRow = (
  out: Uint8Array,
  at: number,
  segment: Segment & { kind: 'slot' },
  from: number,
  to: number,
): void => {
  const { states, flashes } = segment.maps.guest
  const first = Math.min(Math.max(Math.floor(from), 0), states.length - 1)
  const last = Math.min(Math.max(Math.ceil(to), first + 1), states.length)
  let shared = 0
  let stage2 = 0
  let mismatch = 0
  let flash = 0
  for (let page = first; page < last; page++) {
    const state = states[page]
    if (!(state & GuestPage.private)) shared++
    if (state & GuestPage.stage2) stage2++
    if (isMismatch(state)) mismatch = 1
    if (flashes[page] > flash) flash = flashes[page]
  }
  const pages = last - first
  out[at] = RowKind.slot
  // What is there at all must not round to nothing.
  out[at + 1] = Math.ceil((255 * shared) / pages)
  out[at + 2] = Math.ceil((255 * stage2) / pages)
  out[at + 3] = mismatch
  out[at + 4] = flash
}

/** Widens what is but one row high to three: a shared page among thousands of private ones must be seen. */
const widen = (out: Uint8Array, height: number): void => {
  const shared = (y: number): number => out[y * ROW_BYTES + 1]
  for (let y = 1; y < height - 1; y++) {
    const isLone = shared(y) > 0 && shared(y - 1) === 0 && shared(y + 1) === 0
    if (!isLone || out[(y - 1) * ROW_BYTES] !== RowKind.slot || out[(y + 1) * ROW_BYTES] !== RowKind.slot)
      continue
    for (const other of [y - 1, y + 1]) out.copyWithin(other * ROW_BYTES, y * ROW_BYTES, (y + 1) * ROW_BYTES)
    // What was widened is no neighbour to widen again.
    y += 2
  }
}

/** Fills `out` (ROW_BYTES a row) for `height` pixel rows that show `window` of the axis. */
export const fillBandRows = (out: Uint8Array, height: number, axis: Axis, window: Window): void => {
  out.fill(0)
  const perRow = (window.to - window.from) / height
  let s = 0
  let above = -1
  for (let y = 0; y < height; y++) {
    const position = window.from + y * perRow
    while (s < axis.segments.length - 1 && position >= axis.segments[s].at + axis.segments[s].length) s++
    const segment = axis.segments[s]
    if (!segment || position < segment.at || position >= segment.at + segment.length) continue
    const at = y * ROW_BYTES
    if (segment.kind === 'hole') out[at] = RowKind.hole
    else if (segment.kind === 'mmio') out[at] = RowKind.mmio
    else {
      const from = position - segment.at
      // Rows finer than a page show that page alone; the edge is the row in which the next page begins.
      const to = perRow < 1 ? from : from + perRow
      slotRow(out, at, segment, from, to)
      const page = Math.floor(from)
      if (perRow * EDGE_PIXELS <= 1 && page !== above) out[at + 5] = 1
      above = page
    }
  }
  if (perRow > 1) widen(out, height)
}
