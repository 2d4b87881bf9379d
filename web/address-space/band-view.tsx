// The band: the GPA axis on a canvas with its ticks and segment cards; zoom, pan, select.

import { useEffect, useMemo, useRef, useState } from 'react'
import { PAGE_SIZE } from '../../core/base/units.ts'
import { deviceRegionsOf } from '../../core/machine/device-regions.ts'
import { CLICK_SLACK, onKeys, useHover, wheelFactor } from '../app/map-input.ts'
import { useDrawer, usePage, useSampled } from '../app/page.ts'
import type { Machine } from '../app/supervisor.ts'
import { BandRenderer, ROW_BYTES } from '../gl/band-map.ts'
import { fitCanvas } from '../gl/context.ts'
import type { PageRef } from '../model/chain.ts'
import { buildAxis, clampWindow, gpaAt, positionOf, type Window, zoomWindow } from './axis.ts'
import { fillBandRows } from './band-rows.ts'
import { SegmentCards } from './segment-cards.tsx'
import { Ticks } from './ticks.tsx'

const KEY_ZOOM = 2
const SHAPE_MS = 200

export const BandView = ({ machine }: { machine: Machine }) => {
  const { store, scheduler, theme } = usePage()
  const { sampler } = machine
  useSampled(SHAPE_MS)
  // biome-ignore lint/correctness/useExhaustiveDependencies: the sampler's shape says when its slots changed
  const axis = useMemo(
    () => buildAxis(sampler.slots, deviceRegionsOf(sampler.view)),
    [sampler, sampler.shape],
  )
  const [chosen, setWindow] = useState<Window | null>(null)
  const shown = clampWindow(axis, chosen ?? { from: 0, to: axis.length })
  const [height, setHeight] = useState(1)
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const selected = useRef<HTMLDivElement>(null)
  const hovered = useRef<HTMLDivElement>(null)
  const renderer = useRef<BandRenderer | null>(null)
  const rows = useRef(new Uint8Array(0))
  const drag = useRef<{ y: number; window: Window; moved: boolean } | null>(null)
  const zoom = useRef<(factor: number, anchor: number) => void>(() => undefined)
  zoom.current = (factor, anchor) => setWindow(zoomWindow(axis, shown, factor, anchor))

  useEffect(() => {
    const node = canvas.current
    const around = frame.current
    if (!node || !around) return
    const made = new BandRenderer(node, () => scheduler.invalidate())
    renderer.current = made
    const observer = new ResizeObserver(() => setHeight(around.clientHeight))
    observer.observe(around)
    const wheel = (event: WheelEvent): void => {
      event.preventDefault()
      zoom.current(wheelFactor(event), event.offsetY / around.clientHeight)
    }
    around.addEventListener('wheel', wheel, { passive: false })
    return () => {
      observer.disconnect()
      around.removeEventListener('wheel', wheel)
      made.dispose()
      renderer.current = null
    }
  }, [scheduler])

  const pixel = (position: number): number => ((position - shown.from) / (shown.to - shown.from)) * height
  const place = (cursor: HTMLElement | null, ref: PageRef | null): void => {
    if (!cursor) return
    const start = ref && 'gfn' in ref ? positionOf(axis, ref.gfn * PAGE_SIZE) : null
    const top = start === null ? -1 : pixel(start)
    cursor.hidden = start === null || top > height || top < -height
    if (start === null) return
    const tall = Math.max(3, pixel(start + 1) - top)
    cursor.style.transform = `translateY(${top - (tall === 3 ? 1 : 0)}px)`
    cursor.style.height = `${tall}px`
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: what the band is drawn from, beside the tables
  useEffect(() => scheduler.invalidate(), [scheduler, axis, shown.from, shown.to, height])

  useDrawer(({ changed }) => {
    const node = canvas.current
    if (!changed || !node || !frame.current) return
    fitCanvas(node, node.clientWidth, node.clientHeight)
    if (rows.current.length !== node.height * ROW_BYTES)
      rows.current = new Uint8Array(node.height * ROW_BYTES)
    fillBandRows(rows.current, node.height, axis, shown)
    renderer.current?.draw(rows.current, theme.colours)
    const { selection, hover } = store.getState()
    place(selected.current, selection)
    place(hovered.current, hover)
  })

  const refAt = (y: number): PageRef | null => {
    const gpa = gpaAt(axis, shown.from + (y / height) * (shown.to - shown.from))
    return gpa === null ? null : { gfn: Math.floor(gpa / PAGE_SIZE) }
  }
  const hover = useHover()
  const show = (gfn: number): void => {
    const at = positionOf(axis, gfn * PAGE_SIZE)
    store.setState({ selection: { gfn } })
    scheduler.invalidate()
    if (at === null || (at >= shown.from && at < shown.to)) return
    const half = (shown.to - shown.from) / 2
    setWindow(clampWindow(axis, { from: at - half, to: at + half }))
  }
  const step = (by: number): void => {
    const { selection } = store.getState()
    const current = selection && 'gfn' in selection ? selection.gfn : null
    const first = sampler.slots[0]?.slot.baseGfn
    if (current !== null) show(Math.max(0, current + by))
    else if (first !== undefined) show(first)
  }
  const pan = (share: number): void => {
    const by = (shown.to - shown.from) * share
    setWindow(clampWindow(axis, { from: shown.from + by, to: shown.to + by }))
  }
  const zoomSelected = (factor: number): void => {
    const { selection } = store.getState()
    const at = selection && 'gfn' in selection ? positionOf(axis, selection.gfn * PAGE_SIZE) : null
    const anchor = at === null ? 0.5 : (at - shown.from) / (shown.to - shown.from)
    zoom.current(factor, anchor >= 0 && anchor <= 1 ? anchor : 0.5)
  }
  const keys = new Map<string, () => void>([
    ['ArrowUp', () => step(-1)],
    ['ArrowDown', () => step(1)],
    ['PageUp', () => pan(-0.5)],
    ['PageDown', () => pan(0.5)],
    ['+', () => zoomSelected(KEY_ZOOM)],
    ['=', () => zoomSelected(KEY_ZOOM)],
    ['-', () => zoomSelected(1 / KEY_ZOOM)],
    ['0', () => setWindow(null)],
  ])

  return (
    <div className="band">
      <Ticks axis={axis} shown={shown} height={height} />
      <div
        ref={frame}
        className="band-frame"
        data-testid="band"
        data-pane-focus=""
        // biome-ignore lint/a11y/noNoninteractiveTabindex: an application region takes the keys of the band
        tabIndex={0}
        role="application"
        aria-label="Guest physical address space. Up and down select a page, Page Up and Page Down scroll, plus and minus zoom, 0 shows all; M shows a table."
        onPointerDown={(event) => {
          drag.current = { y: event.clientY, window: shown, moved: false }
          event.currentTarget.setPointerCapture(event.pointerId)
        }}
        onPointerMove={(event) => {
          const from = drag.current
          if (!from) return hover(refAt(event.nativeEvent.offsetY))
          const dy = event.clientY - from.y
          if (!from.moved && Math.abs(dy) < CLICK_SLACK) return
          from.moved = true
          const by = (-dy / height) * (from.window.to - from.window.from)
          setWindow(clampWindow(axis, { from: from.window.from + by, to: from.window.to + by }))
        }}
        onPointerUp={(event) => {
          const moved = drag.current?.moved
          drag.current = null
          const ref = refAt(event.nativeEvent.offsetY)
          if (!moved && ref && 'gfn' in ref) show(ref.gfn)
        }}
        onPointerLeave={() => hover(null)}
        onDoubleClick={(event) => zoom.current(8, event.nativeEvent.offsetY / height)}
        onKeyDown={onKeys(keys)}
      >
        <canvas ref={canvas} />
        <div ref={hovered} className="band-cursor" data-kind="hover" hidden />
        <div ref={selected} className="band-cursor" data-kind="selected" hidden />
      </div>
      <SegmentCards axis={axis} shown={shown} height={height} />
    </div>
  )
}
