// One folio map on the screen: canvas, gutter, cursors; pointer and keys.

import { useEffect, useRef } from 'react'
import { CLICK_SLACK, onKeys, useHover, wheelFactor } from '../app/map-input.ts'
import { useDrawer, usePage } from '../app/page.ts'
import { CellMapRenderer } from '../gl/cell-map.ts'
import { fitCanvas } from '../gl/context.ts'
import { type Chain, type PageRef, resolveChain } from '../model/chain.ts'
import type { PageMap } from '../model/page-map.ts'
import type { LinkedViewport } from './linked-viewport.ts'
import { labelCells, labelRows } from './map-labels.ts'
import { cellAt, cellCorner } from './viewport.ts'

const KEY_ZOOM = 1.6
const PAN_KEYS = 64

export interface MapSource {
  readonly id: string
  /** What the map shows, for the screen reader. */
  readonly label: string
  readonly map: PageMap
  /** The number of cell 0, for the labels. */
  readonly base: number
  readonly refOf: (cell: number) => PageRef
  /** The cell that a chain runs through, or -1. */
  readonly cellOf: (chain: Chain) => number
}

const place = (cursor: HTMLElement | null, cell: number, viewport: LinkedViewport): void => {
  if (!cursor) return
  cursor.hidden = cell < 0
  if (cell < 0) return
  const { x, y } = cellCorner(viewport.view, cell)
  const size = Math.max(viewport.view.size, 5)
  cursor.style.transform = `translate(${x - (size - viewport.view.size) / 2}px, ${y - (size - viewport.view.size) / 2}px)`
  cursor.style.width = cursor.style.height = `${size}px`
}

export const PageMapView = ({ source, viewport }: { source: MapSource; viewport: LinkedViewport }) => {
  const { store, supervisor, theme, scheduler } = usePage()
  const { id, map, base } = source
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const gutter = useRef<HTMLDivElement>(null)
  const texts = useRef<HTMLDivElement>(null)
  const selected = useRef<HTMLDivElement>(null)
  const hovered = useRef<HTMLDivElement>(null)
  const renderer = useRef<CellMapRenderer | null>(null)
  const size = useRef({ width: 1, height: 1 })
  const drag = useRef<{ x: number; y: number; moved: boolean } | null>(null)

  useEffect(() => {
    const node = canvas.current
    const around = frame.current
    if (!node || !around) return
    const made = new CellMapRenderer(node, () => scheduler.invalidate())
    renderer.current = made
    const observer = new ResizeObserver(() => {
      size.current = { width: around.clientWidth, height: around.clientHeight }
      scheduler.invalidate()
    })
    observer.observe(around)
    // React's wheel listeners are passive; this one must keep the page from zooming.
    const wheel = (event: WheelEvent): void => {
      event.preventDefault()
      if (event.shiftKey) viewport.pan(-event.deltaY - event.deltaX, 0)
      else viewport.zoom(wheelFactor(event), event.offsetX, event.offsetY)
    }
    around.addEventListener('wheel', wheel, { passive: false })
    return () => {
      observer.disconnect()
      around.removeEventListener('wheel', wheel)
      made.dispose()
      renderer.current = null
    }
  }, [scheduler, viewport])

  useEffect(() => () => viewport.remove(id), [viewport, id])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another map, or another place for it, wants a draw
  useEffect(() => scheduler.invalidate(), [scheduler, viewport, map, id])

  useDrawer(({ changed }) => {
    const node = canvas.current
    const sampler = supervisor.machine?.sampler
    if (!changed || !node || !sampler) return
    viewport.place(id, size.current, map.count)
    fitCanvas(node, size.current.width, size.current.height)
    renderer.current?.draw(map, viewport.view, theme.colours)
    if (gutter.current) labelRows(gutter.current, viewport.view, map.count, size.current, base)
    if (texts.current) labelCells(texts.current, map, viewport.view, size.current, base)
    const { selection, hover } = store.getState()
    place(selected.current, source.cellOf(resolveChain(sampler, selection)), viewport)
    place(hovered.current, source.cellOf(resolveChain(sampler, hover)), viewport)
  })

  const under = (event: { nativeEvent: { offsetX: number; offsetY: number } }): number =>
    cellAt(viewport.view, map.count, event.nativeEvent.offsetX, event.nativeEvent.offsetY)

  const hover = useHover()
  const select = (cell: number): void => {
    store.setState({ selection: source.refOf(cell) })
    viewport.reveal(cell)
    scheduler.invalidate()
  }

  const current = (): number => {
    const sampler = supervisor.machine?.sampler
    return sampler ? source.cellOf(resolveChain(sampler, store.getState().selection)) : -1
  }
  const zoom = (factor: number): void => {
    const cell = current()
    if (cell < 0) viewport.zoom(factor)
    else viewport.zoomAt(factor, cell)
  }
  const move = (by: number): void => {
    const at = current()
    select(at < 0 ? 0 : Math.min(Math.max(at + by, 0), map.count - 1))
  }

  const keys = new Map<string, () => void>([
    ['ArrowLeft', () => move(-1)],
    ['ArrowRight', () => move(1)],
    ['ArrowUp', () => move(-viewport.view.columns)],
    ['ArrowDown', () => move(viewport.view.columns)],
    ['PageUp', () => move(-16 * viewport.view.columns)],
    ['PageDown', () => move(16 * viewport.view.columns)],
    ['Home', () => move(-map.count)],
    ['End', () => move(map.count)],
    ['+', () => zoom(KEY_ZOOM)],
    ['=', () => zoom(KEY_ZOOM)],
    ['-', () => zoom(1 / KEY_ZOOM)],
    ['0', () => viewport.fit()],
    ['[', () => viewport.pan(PAN_KEYS, 0)],
    [']', () => viewport.pan(-PAN_KEYS, 0)],
  ])

  return (
    <div className="map">
      <div ref={gutter} className="map-gutter" aria-hidden="true" />
      <div
        ref={frame}
        className="map-frame"
        data-testid={`map-${id}`}
        data-pane-focus=""
        // biome-ignore lint/a11y/noNoninteractiveTabindex: an application region takes the keys of the map
        tabIndex={0}
        role="application"
        aria-label={`${source.label}. Arrow keys select a page, plus and minus zoom, 0 shows all; M shows a table.`}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY, moved: false }
          event.currentTarget.setPointerCapture(event.pointerId)
        }}
        onPointerMove={(event) => {
          const from = drag.current
          if (from) {
            const dx = event.clientX - from.x
            const dy = event.clientY - from.y
            if (!from.moved && Math.hypot(dx, dy) < CLICK_SLACK) return
            drag.current = { x: event.clientX, y: event.clientY, moved: true }
            viewport.pan(dx, dy)
            return
          }
          const cell = under(event)
          hover(cell < 0 ? null : source.refOf(cell))
        }}
        onPointerUp={(event) => {
          const moved = drag.current?.moved
          drag.current = null
          const cell = under(event)
          if (!moved && cell >= 0) select(cell)
        }}
        onPointerLeave={() => hover(null)}
        onDoubleClick={(event) => viewport.zoom(4, event.nativeEvent.offsetX, event.nativeEvent.offsetY)}
        onKeyDown={onKeys(keys)}
      >
        <canvas ref={canvas} />
        <div ref={texts} className="map-texts" aria-hidden="true" />
        <div ref={hovered} className="cursor" data-kind="hover" hidden />
        <div ref={selected} className="cursor" data-kind="selected" hidden />
      </div>
    </div>
  )
}
