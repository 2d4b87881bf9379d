// The folio maps' viewport: how large a cell is and where the map lies; zoom, pan, fit, and cell arithmetic.

import type { CellView } from '../gl/cell-map.ts'

export interface Size {
  readonly width: number
  readonly height: number
}

/** Cells a row are a multiple of this, so that row labels are round. */
const COLUMN_STEP = 8

/** Cells from this size on are whole pixels; smaller ones may be uneven, which does not show. */
const WHOLE_FROM = 4
const SMALLEST = 0.125

/** The view with the largest square cells at which `count` of them fit into `size`. */
export const fitView = (count: number, size: Size): CellView => {
  let best: CellView = { x: 0, y: 0, size: SMALLEST, columns: COLUMN_STEP }
  const most = Math.max(COLUMN_STEP, Math.floor(size.width / SMALLEST))
  for (let columns = COLUMN_STEP; columns <= most; columns += COLUMN_STEP) {
    const fits = Math.min(size.width / columns, size.height / Math.ceil(count / columns))
    const cell = fits > WHOLE_FROM ? Math.floor(fits) : Math.max(fits, SMALLEST)
    // Where none fits, the widest map runs over the least.
    if (cell > best.size || best.size === SMALLEST) best = { x: 0, y: 0, size: cell, columns }
  }
  return best
}

/** A cell may fill this share of the map's shorter side. */
const MAX_CELL_SHARE = 0.75

/** The nearest view that keeps the map on the canvas: no closer than one cell, no farther than the fit. */
export const clampView = (view: CellView, count: number, size: Size, fit: CellView): CellView => {
  const largest = Math.max(fit.size, Math.min(size.width, size.height) * MAX_CELL_SHARE)
  const cell = Math.min(Math.max(view.size, fit.size), largest)
  const width = view.columns * cell
  const height = Math.ceil(count / view.columns) * cell
  const x = width <= size.width ? 0 : Math.min(0, Math.max(view.x, size.width - width))
  const y = height <= size.height ? 0 : Math.min(0, Math.max(view.y, size.height - height))
  return { columns: view.columns, size: cell, x, y }
}

/** `view` zoomed by `factor` about a point of the canvas. */
export const zoomView = (view: CellView, factor: number, x: number, y: number): CellView => {
  let size = view.size * factor
  // Whole pixels keep the cells alike; below two pixels a step would be too large.
  if (size >= 2) size = factor > 1 ? Math.max(Math.round(size), Math.floor(view.size) + 1) : Math.round(size)
  const by = size / view.size
  return { columns: view.columns, size, x: x - (x - view.x) * by, y: y - (y - view.y) * by }
}

/** The cell under a point of the canvas, or -1. */
export const cellAt = (view: CellView, count: number, x: number, y: number): number => {
  const column = Math.floor((x - view.x) / view.size)
  const row = Math.floor((y - view.y) / view.size)
  if (column < 0 || row < 0 || column >= view.columns) return -1
  const at = row * view.columns + column
  return at < count ? at : -1
}

/** Top left corner of a cell on the canvas. */
export const cellCorner = (view: CellView, at: number): { x: number; y: number } => ({
  x: view.x + (at % view.columns) * view.size,
  y: view.y + Math.floor(at / view.columns) * view.size,
})

/** `view` moved as little as needed to show a cell. */
export const revealCell = (view: CellView, at: number, size: Size): CellView => {
  const { x, y } = cellCorner(view, at)
  const into = (low: number, cell: number, room: number): number =>
    low < 0 ? -low : low + cell > room ? room - low - cell : 0
  return { ...view, x: view.x + into(x, view.size, size.width), y: view.y + into(y, view.size, size.height) }
}
