// One viewport for maps that lie side by side: they zoom and pan together, so that a page has one place.

import type { CellView } from '../gl/cell-map.ts'
import { cellCorner, clampView, fitView, revealCell, type Size, zoomView } from './viewport.ts'

export class LinkedViewport {
  #size: Size = { width: 1, height: 1 }
  #count = 1
  #fit: CellView = fitView(1, this.#size)
  #view: CellView = this.#fit
  /** Where each map stands: the viewport fits the smallest canvas and the longest map. */
  readonly #maps = new Map<string, { size: Size; count: number }>()
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  get view(): CellView {
    return this.#view
  }

  get isFit(): boolean {
    return this.#view.size === this.#fit.size
  }

  place(id: string, size: Size, count: number): void {
    const old = this.#maps.get(id)
    if (old && old.size.width === size.width && old.size.height === size.height && old.count === count) return
    this.#maps.set(id, { size, count })
    this.#refit()
  }

  remove(id: string): void {
    if (this.#maps.delete(id)) this.#refit()
  }

  zoom(factor: number, x = this.#size.width / 2, y = this.#size.height / 2): void {
    this.#set(zoomView(this.#view, factor, x, y))
  }

  /** Zooms about a cell and brings it into sight. */
  zoomAt(factor: number, cell: number): void {
    const { x, y } = cellCorner(this.#view, cell)
    const half = this.#view.size / 2
    this.#set(zoomView(this.#view, factor, x + half, y + half))
    this.reveal(cell)
  }

  pan(dx: number, dy: number): void {
    this.#set({ ...this.#view, x: this.#view.x + dx, y: this.#view.y + dy })
  }

  fit(): void {
    this.#set(this.#fit)
  }

  reveal(cell: number): void {
    this.#set(revealCell(this.#view, cell, this.#size))
  }

  #refit(): void {
    const maps = [...this.#maps.values()]
    if (!maps.length) return
    const wasFit = this.isFit
    this.#count = Math.max(...maps.map(({ count }) => count))
    this.#size = {
      width: Math.min(...maps.map(({ size }) => size.width)),
      height: Math.min(...maps.map(({ size }) => size.height)),
    }
    this.#fit = fitView(this.#count, this.#size)
    this.#set(wasFit ? this.#fit : { ...this.#view, columns: this.#fit.columns })
  }

  #set(view: CellView): void {
    this.#view = clampView(view, this.#count, this.#size, this.#fit)
    this.#changed()
  }
}
