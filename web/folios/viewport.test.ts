import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cellAt, cellCorner, clampView, fitView, revealCell, zoomView } from './viewport.ts'

const sizes = fc.record({
  width: fc.integer({ min: 120, max: 2_000 }),
  height: fc.integer({ min: 60, max: 1_200 }),
})
const counts = fc.integer({ min: 1, max: 262_144 })

describe('fitView', () => {
  it('holds every cell on the canvas', () => {
    fc.assert(
      fc.property(counts, sizes, (count, size) => {
        const view = fitView(count, size)
        const last = cellCorner(view, count - 1)
        expect(view.columns % 8).toBe(0)
        // The smallest cell is a limit: a huge map on a tiny canvas may run over.
        if (view.size > 0.125) {
          expect(last.x + view.size).toBeLessThanOrEqual(size.width + 1e-6)
          expect(last.y + view.size).toBeLessThanOrEqual(size.height + 1e-6)
        }
      }),
    )
  })

  it('uses most of the canvas for a usual map', () => {
    for (const [width, height] of [
      [304, 443],
      [200, 300],
      [520, 440],
    ] as const) {
      const { size, columns } = fitView(32_768, { width, height })
      expect((columns * size * Math.ceil(32_768 / columns) * size) / (width * height)).toBeGreaterThan(0.93)
    }
  })
})

describe('cellAt', () => {
  it('is the inverse of cellCorner', () => {
    fc.assert(
      fc.property(counts, fc.nat(), fc.integer({ min: 1, max: 64 }), (count, n, cell) => {
        const view = { x: -7, y: 3, size: cell, columns: 160 }
        const at = n % count
        const { x, y } = cellCorner(view, at)
        expect(cellAt(view, count, x + cell / 2, y + cell / 2)).toBe(at)
      }),
    )
  })

  it('knows what is beside the map', () => {
    const view = { x: 0, y: 0, size: 2, columns: 16 }
    expect(cellAt(view, 100, 33, 1)).toBe(-1)
    expect(cellAt(view, 100, 9, 13)).toBe(-1)
    expect(cellAt(view, 100, -1, 1)).toBe(-1)
  })
})

describe('zoomView', () => {
  it('keeps the point under the pointer', () => {
    const view = fitView(32_768, { width: 320, height: 440 })
    const closer = zoomView(view, 3, 100, 50)
    const before = (100 - view.x) / view.size
    expect((100 - closer.x) / closer.size).toBeCloseTo(before)
  })

  it('always gets closer when asked to', () => {
    let view = fitView(32_768, { width: 320, height: 440 })
    for (let i = 0; i < 50; i++) {
      const next = zoomView(view, 1.05, 0, 0)
      expect(next.size).toBeGreaterThan(view.size)
      view = next
    }
  })
})

describe('clampView', () => {
  it('lets one cell fill most of the map, and no more', () => {
    const size = { width: 320, height: 440 }
    const fit = fitView(32_768, size)
    const { size: cell } = clampView({ ...fit, size: 10_000 }, 32_768, size, fit)
    expect(cell).toBe(240)
  })
})

describe('revealCell', () => {
  it('brings any cell into sight', () => {
    fc.assert(
      fc.property(fc.nat(32_767), (at) => {
        const size = { width: 320, height: 440 }
        const view = revealCell({ x: 0, y: 0, size: 40, columns: 160 }, at, size)
        const { x, y } = cellCorner(view, at)
        expect(x).toBeGreaterThanOrEqual(0)
        expect(y).toBeGreaterThanOrEqual(0)
        expect(x + 40).toBeLessThanOrEqual(320)
        expect(y + 40).toBeLessThanOrEqual(440)
      }),
    )
  })
})
