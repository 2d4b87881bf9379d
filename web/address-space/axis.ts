// The GPA axis: memslots to scale, devices and holes compressed, so that one picture holds the whole space.
//
// An axis position ("unit") is a page inside a slot; a device or a hole takes a fixed share of the axis however
// large it is. Between positions and GPAs the map is linear inside each segment.

import { PAGE_SIZE } from '../../core/base/units.ts'
import type { DeviceRegion } from '../../core/machine/device-regions.ts'
import type { SlotMaps } from '../model/sampler.ts'

export type Segment = {
  /** Axis position of its first byte. */
  readonly at: number
  /** Axis length. */
  readonly length: number
  /** GPA of its first byte. */
  readonly base: number
  /** Bytes. */
  readonly size: number
} & (
  | { readonly kind: 'hole' }
  | { readonly kind: 'mmio'; readonly device: DeviceRegion }
  | { readonly kind: 'slot'; readonly maps: SlotMaps }
)

export interface Axis {
  readonly segments: readonly Segment[]
  readonly length: number
}

/** A compressed segment's share of the slots' length. */
const DEVICE_SHARE = 0.055
const HOLE_SHARE = 0.075
/** Without slots the axis still has a length. */
const EMPTY_LENGTH = 1_024
/** Where the axis ends: the hole after the last thing is open-ended. */
const TAIL_BYTES = 2 ** 41

type Occupied = { base: number; size: number } & (
  | { kind: 'mmio'; device: DeviceRegion }
  | { kind: 'slot'; maps: SlotMaps }
)

export const buildAxis = (slots: readonly SlotMaps[], devices: readonly DeviceRegion[]): Axis => {
  const occupied: Occupied[] = [
    ...devices.map((device) => ({ kind: 'mmio' as const, device, base: device.base, size: device.size })),
    ...slots.map((maps) => ({
      kind: 'slot' as const,
      maps,
      base: maps.slot.baseGfn * PAGE_SIZE,
      size: maps.slot.pages * PAGE_SIZE,
    })),
  ].sort((a, b) => a.base - b.base)
  const scale = slots.reduce((sum, { slot }) => sum + slot.pages, 0) || EMPTY_LENGTH
  const segments: Segment[] = []
  let at = 0
  let base = 0
  const hole = (end: number): void => {
    if (end <= base) return
    const length = scale * HOLE_SHARE
    segments.push({ kind: 'hole', at, length, base, size: end - base })
    at += length
  }
  for (const item of occupied) {
    hole(item.base)
    const length = item.kind === 'slot' ? item.maps.slot.pages : scale * DEVICE_SHARE
    segments.push({ ...item, at, length })
    at += length
    base = item.base + item.size
  }
  hole(TAIL_BYTES)
  return { segments, length: at }
}

export const segmentAt = (axis: Axis, position: number): Segment | null =>
  axis.segments.find((s) => position >= s.at && position < s.at + s.length) ?? null

/** The byte address at an axis position. */
export const gpaAt = (axis: Axis, position: number): number | null => {
  const segment = segmentAt(axis, position)
  if (!segment) return null
  return segment.base + Math.floor(((position - segment.at) / segment.length) * segment.size)
}

/** The axis position of a byte address, or null when it is beyond the axis. */
export const positionOf = (axis: Axis, gpa: number): number | null => {
  const segment = axis.segments.find((s) => gpa >= s.base && gpa < s.base + s.size)
  return segment ? segment.at + ((gpa - segment.base) / segment.size) * segment.length : null
}

/** The part of the axis that is on the screen: [from, to) in positions. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** The closest look: this many pages fill the pane. */
export const MIN_WINDOW = 12

/** The nearest window inside the axis. */
export const clampWindow = (axis: Axis, { from, to }: Window): Window => {
  const span = Math.min(Math.max(to - from, MIN_WINDOW), axis.length)
  const start = Math.min(Math.max(from + (to - from - span) / 2, 0), axis.length - span)
  return { from: start, to: start + span }
}

/** `window` zoomed by `factor` (> 1: closer) about `anchor`, a share of its height. */
export const zoomWindow = (axis: Axis, window: Window, factor: number, anchor: number): Window => {
  const span = Math.min(Math.max((window.to - window.from) / factor, MIN_WINDOW), axis.length)
  const centre = window.from + (window.to - window.from) * anchor
  return clampWindow(axis, { from: centre - span * anchor, to: centre + span * (1 - anchor) })
}
