// The status bar: the machine's rates and the chain of the page under the pointer.
//
// Figures go straight to their text nodes twice a second; React renders this once.

import { useEffect, useRef } from 'react'
import type { MachineStats } from '../../core/machine/api.ts'
import { hostName } from '../host-settings/host-name.ts'
import { resolveChain } from '../model/chain.ts'
import { bytes, count, hex, rate } from './format.ts'
import { useDrawer, usePage, usePageState } from './page.ts'

const REFRESH_MS = 500
/** Rates are means over this many refreshes. */
const WINDOW = 2

const totalExits = (stats: MachineStats): number => Object.values(stats.exits).reduce((a, b) => a + b, 0)

const Chain = () => {
  const { store, supervisor } = usePage()
  const text = useRef<HTMLSpanElement>(null)
  useDrawer(() => {
    const { hover, selection } = store.getState()
    const node = text.current
    const sampler = supervisor.machine?.sampler
    if (!node || !sampler) return
    const { gfn, slot, page, fileIndex, pfn, attributePrivate } = resolveChain(sampler, hover ?? selection)
    const links: string[] = []
    if (gfn !== null) links.push(`gfn ${hex(gfn)}`)
    if (page !== null)
      links.push(
        attributePrivate || slot?.inPlace ? `file index ${hex(fileIndex ?? page)}` : `host page ${hex(page)}`,
      )
    if (pfn >= 0) links.push(`pfn ${hex(pfn)}`)
    else if (page !== null) links.push('no folio')
    const next = links.join(' → ')
    if (node.textContent !== next) node.textContent = next
  })
  return <span ref={text} className="status-chain" data-testid="chain" />
}

export const StatusBar = () => {
  const { supervisor, scheduler } = usePage()
  const guest = usePageState((state) => state.guest)
  const host = usePageState((state) => state.settings.host)
  const figures = useRef(new Map<string, HTMLElement>())
  const window = useRef<MachineStats[]>([])

  useEffect(() => {
    const show = (name: string, value: string): void => {
      const node = figures.current.get(name)
      if (node && node.textContent !== value) node.textContent = value
    }
    const refresh = async (): Promise<void> => {
      const { machine } = supervisor
      if (!machine) return
      const { sampler, log } = machine
      show('folios', `${count(sampler.framesInUse)} (${bytes(sampler.framesInUse * 4096)})`)
      show('conversions', count(log.completed))
      show('frame', `${scheduler.frameMs.toFixed(1)} ms`)
      const stats = await supervisor.api.stats()
      const past = window.current
      // Another machine counts from nought again.
      if (past.length && stats.seconds < past[past.length - 1].seconds) past.length = 0
      const before = past.at(-WINDOW) ?? past[0] ?? stats
      past.push(stats)
      if (past.length > WINDOW) past.shift()
      const seconds = stats.seconds - before.seconds
      if (seconds <= 0) {
        show('mips', '0')
        show('exits', '0')
        return
      }
      show('mips', ((stats.instructions - before.instructions) / seconds / 1e6).toFixed(0))
      show('exits', rate((totalExits(stats) - totalExits(before)) / seconds))
    }
    const timer = setInterval(() => {
      // A worker that is gone answers nothing; the banner says so.
      refresh().catch(() => undefined)
    }, REFRESH_MS)
    return () => clearInterval(timer)
  }, [supervisor, scheduler])

  const figure = (name: string, label: string, title: string) => (
    <span className="figure" title={title}>
      <b
        ref={(node) => {
          if (node) figures.current.set(name, node)
        }}
        data-testid={`figure-${name}`}
      >
        –
      </b>{' '}
      {label}
    </span>
  )
  return (
    <footer className="status-bar">
      {figure('mips', 'MIPS', 'Guest instructions retired, millions a second, all vCPUs')}
      {figure('exits', 'exits/s', 'VM exits a second')}
      {figure('conversions', 'conversions', 'Conversions asked for since power-on')}
      {figure('folios', 'folios in use', 'Frames of host memory that are neither free nor reserved')}
      {figure('frame', 'a frame', 'Time this page spends on a frame that draws, on its own thread')}
      <Chain />
      <span className="figure host-name" data-testid="host-name">
        {hostName(host)}
      </span>
      <span className="figure guest-name">{guest ? guest.name : 'guest monitor'}</span>
    </footer>
  )
}
