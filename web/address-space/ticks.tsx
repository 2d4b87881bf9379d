// The addresses along the band: segment boundaries, and round addresses inside a slot that is zoomed into.

import { hex } from '../app/format.ts'
import { type Axis, positionOf, type Window } from './axis.ts'

/** Labels nearer than this would touch. */
const GAP = 18
const MIN_STEP = 4_096

interface Tick {
  readonly gpa: number
  readonly y: number
}

export const ticksOf = (axis: Axis, shown: Window, height: number): readonly Tick[] => {
  const perUnit = height / (shown.to - shown.from)
  const ticks: Tick[] = []
  const add = (gpa: number, position: number): void => {
    const y = (position - shown.from) * perUnit
    if (y < -1 || y > height - 6) return
    if (ticks.some((tick) => Math.abs(tick.y - y) < GAP)) return
    ticks.push({ gpa, y })
  }
  for (const segment of axis.segments) if (segment.kind !== 'hole') add(segment.base, segment.at)
  for (const segment of axis.segments) add(segment.base, segment.at)
  for (const segment of axis.segments) {
    if (segment.kind !== 'slot') continue
    const bytesPerPixel = segment.size / (segment.length * perUnit)
    let step = MIN_STEP
    while (step / bytesPerPixel < 2.5 * GAP) step *= 2
    const from = Math.max(0, (shown.from - segment.at) / segment.length) * segment.size
    const to = Math.min(1, (shown.to - segment.at) / segment.length) * segment.size
    const first = Math.ceil((segment.base + from) / step) * step
    for (let gpa = first; gpa < segment.base + to; gpa += step) {
      const position = positionOf(axis, gpa)
      if (position !== null) add(gpa, position)
    }
  }
  return ticks
}

export const Ticks = ({ axis, shown, height }: { axis: Axis; shown: Window; height: number }) => (
  <div className="ticks" aria-hidden="true">
    {ticksOf(axis, shown, height).map(({ gpa, y }) => (
      <span key={gpa} className="tick" style={{ transform: `translateY(${Math.max(0, y)}px)` }}>
        {hex(gpa)}
      </span>
    ))}
  </div>
)
