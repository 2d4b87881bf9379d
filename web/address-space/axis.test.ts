import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deviceRegions } from '../../core/machine/device-regions.ts'
import { ROW_BYTES, RowKind } from '../gl/band-map.ts'
import { TestTables } from '../testing/tables.ts'
import { buildAxis, clampWindow, gpaAt, MIN_WINDOW, positionOf, zoomWindow } from './axis.ts'
import { fillBandRows } from './band-rows.ts'

const sampled = () => {
  const test = new TestTables()
  const sampler = test.sample()
  return { test, axis: buildAxis(sampler.slots, deviceRegions) }
}

describe('axis', () => {
  it('covers the space without gaps, in order', () => {
    const { axis } = sampled()
    expect(axis.segments.map(({ kind }) => kind)).toEqual([
      ...deviceRegions.flatMap(() => ['hole', 'mmio']),
      'hole',
      'slot',
      'hole',
    ])
    axis.segments.slice(1).forEach((segment, i) => {
      const before = axis.segments[i]
      expect(segment.base).toBe(before.base + before.size)
      expect(segment.at).toBeCloseTo(before.at + before.length)
    })
  })

  it('gives each page of a slot one unit', () => {
    const { axis } = sampled()
    const at = positionOf(axis, 0x80000000) ?? -1
    expect(positionOf(axis, 0x80003000)).toBeCloseTo(at + 3)
    expect(gpaAt(axis, at + 3.5)).toBe(0x80003800)
  })

  it('maps back and forth', () => {
    const { axis } = sampled()
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 }), (gpa) => {
        const position = positionOf(axis, gpa)
        expect(position).not.toBeNull()
        const back = gpaAt(axis, position ?? 0) ?? Number.NaN
        expect(Math.abs(back - gpa)).toBeLessThanOrEqual(2)
      }),
    )
  })

  it('zooms about the anchor down to single pages and back to the whole', () => {
    const { axis } = sampled()
    const whole = { from: 0, to: axis.length }
    const close = zoomWindow(axis, whole, 1e9, 0.5)
    expect(close.to - close.from).toBeCloseTo(MIN_WINDOW)
    expect(zoomWindow(axis, close, 1e-9, 0.2)).toEqual(whole)
    expect(clampWindow(axis, { from: -50, to: -10 }).from).toBe(0)
  })
})

describe('fillBandRows', () => {
  const kinds = (rows: Uint8Array): number[] => {
    const all: number[] = []
    for (let at = 0; at < rows.length; at += ROW_BYTES) all.push(rows[at])
    return all
  }

  it('shows every segment', () => {
    const { axis } = sampled()
    const rows = new Uint8Array(200 * ROW_BYTES)
    fillBandRows(rows, 200, axis, { from: 0, to: axis.length })
    expect(new Set(kinds(rows))).toEqual(new Set([RowKind.hole, RowKind.mmio, RowKind.slot]))
  })

  it('does not lose one shared page among many private ones', () => {
    const { test } = sampled()
    test.setPrivate(30, 31, false)
    const axis = buildAxis(test.sample().slots, deviceRegions)
    // Coarser than a page a row.
    const rows = new Uint8Array(40 * ROW_BYTES)
    fillBandRows(rows, 40, axis, { from: 0, to: axis.length })
    const shared = []
    for (let y = 0; y < 40; y++) if (rows[y * ROW_BYTES + 1] > 0) shared.push(y)
    expect(shared.length).toBeGreaterThan(0)
    expect(shared.length).toBeLessThan(4)
  })

  it('draws an edge where a page begins, close by', () => {
    const { axis } = sampled()
    const at = positionOf(axis, 0x80000000) ?? 0
    const rows = new Uint8Array(320 * ROW_BYTES)
    fillBandRows(rows, 320, axis, { from: at + 8, to: at + 24 })
    let edges = 0
    for (let y = 0; y < 320; y++) edges += rows[y * ROW_BYTES + 5]
    expect(edges).toBeGreaterThanOrEqual(15)
    expect(edges).toBeLessThanOrEqual(16)
  })
})
