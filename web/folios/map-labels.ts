// The text over a folio map: row labels in the gutter and, when cells are large, what each cell holds.

import type { CellView } from '../gl/cell-map.ts'
import type { PageMap } from '../model/page-map.ts'
import { describeCell } from '../model/page-state.ts'
import type { Size } from './viewport.ts'

const ROW_LABEL_GAP = 18
const CELL_TEXT_SIZE = 64

const hex = (value: number): string => `0x${value.toString(16)}`

/** Puts `texts` into the children of `parent`, making and hiding children as needed. */
const fill = (parent: HTMLElement, texts: readonly { text: string; x: number; y: number }[]): void => {
  while (parent.childElementCount < texts.length) parent.append(document.createElement('span'))
  for (let i = 0; i < parent.childElementCount; i++) {
    const node = parent.children[i] as HTMLElement
    const label = texts[i]
    node.hidden = !label
    if (!label) continue
    if (node.textContent !== label.text) node.textContent = label.text
    node.style.transform = `translate(${label.x}px, ${label.y}px)`
  }
}

/** Labels rows with the number of their first cell, `base` being the number of cell 0. */
export const labelRows = (
  gutter: HTMLElement,
  view: CellView,
  count: number,
  size: Size,
  base: number,
): void => {
  // Every 1, 2, 4, 8 ... rows, so that the labels stay where they are while zooming.
  let step = 1
  while (step * view.size < ROW_LABEL_GAP) step *= 2
  const labels: { text: string; x: number; y: number }[] = []
  const rows = Math.ceil(count / view.columns)
  const first = Math.max(0, Math.floor(-view.y / view.size / step) * step)
  for (let row = first; row < rows; row += step) {
    const y = view.y + row * view.size
    if (y > size.height - 8) break
    const at = row * view.columns + Math.max(0, Math.floor(-view.x / view.size))
    if (y > -view.size / 2) labels.push({ text: hex(base + at), x: 0, y: Math.max(0, y) })
  }
  fill(gutter, labels)
}

/** Writes into each visible cell its number, frame and state, when there is room. */
export const labelCells = (
  layer: HTMLElement,
  map: PageMap,
  view: CellView,
  size: Size,
  base: number,
): void => {
  layer.hidden = view.size < CELL_TEXT_SIZE
  if (layer.hidden) return
  layer.style.setProperty('--cell', `${view.size}px`)
  const labels: { text: string; x: number; y: number }[] = []
  const firstRow = Math.max(0, Math.floor(-view.y / view.size))
  const lastRow = Math.floor((size.height - view.y) / view.size)
  const firstColumn = Math.max(0, Math.floor(-view.x / view.size))
  const lastColumn = Math.min(view.columns - 1, Math.floor((size.width - view.x) / view.size))
  for (let row = firstRow; row <= lastRow; row++) {
    for (let column = firstColumn; column <= lastColumn; column++) {
      const at = row * view.columns + column
      if (at >= map.count) continue
      const pfn = map.pfns[at]
      const lines = [hex(base + at), describeCell(map.states[at])]
      if (pfn >= 0) lines.splice(1, 0, `pfn ${hex(pfn)}`)
      labels.push({ text: lines.join('\n'), x: view.x + column * view.size, y: view.y + row * view.size })
    }
  }
  fill(layer, labels)
}
