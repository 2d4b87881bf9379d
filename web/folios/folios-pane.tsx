// The folios pane: linked maps of every guest_memfd and of the host memory behind the slots, or of all frames.

import { useMemo } from 'react'
import { count } from '../app/format.ts'
import { NoMachine } from '../app/no-machine.tsx'
import { useMachine, usePage, usePageState, useSampled } from '../app/page.ts'
import { Pane, Tabs } from '../app/pane.tsx'
import type { Machine } from '../app/supervisor.ts'
import { Cell } from '../model/page-state.ts'
import { Legend } from './legend.tsx'
import { LinkedViewport } from './linked-viewport.ts'
import { MapTable } from './map-table.tsx'
import { PageMapView } from './page-map-view.tsx'
import { mapSources, type TitledSource } from './sources.ts'
import './folios.css'

const TABS = [
  { id: 'halves', title: 'Guest memory' },
  { id: 'frames', title: 'Host frames' },
] as const

const COUNT_MS = 300

const Allocated = ({ source }: { source: TitledSource }) => {
  useSampled(COUNT_MS)
  const { states } = source.map
  let allocated = 0
  for (let i = 0; i < states.length; i++) if (states[i] & (Cell.allocated | Cell.kernel)) allocated++
  return (
    <span className="map-count" data-testid={`count-${source.id}`}>
      {count(allocated)} of {count(states.length)}
      <span className="map-unit"> pages</span>
    </span>
  )
}

const Maps = ({ machine }: { machine: Machine }) => {
  const { scheduler } = usePage()
  const tab = usePageState((state) => state.folioTab)
  const asTables = usePageState((state) => state.tables)
  useSampled(COUNT_MS)
  const { sampler } = machine
  const sources = useMemo(() => mapSources(sampler, tab), [sampler, tab, sampler.shape])
  // biome-ignore lint/correctness/useExhaustiveDependencies: another tab or machine starts with its own fit
  const viewport = useMemo(() => new LinkedViewport(() => scheduler.invalidate()), [scheduler, tab, sampler])
  if (!sources.length) return <p className="empty">The VM has no memory yet.</p>
  return (
    <div className="maps" data-tables={asTables}>
      {sources.map((source) => (
        <div key={source.id} className="map-column">
          <div className="map-head" title={source.detail}>
            {source.half && <i className="swatch" data-half={source.half} data-state="stage2" />}
            <h3>{source.title}</h3>
            <Allocated source={source} />
          </div>
          {asTables ? <MapTable source={source} /> : <PageMapView source={source} viewport={viewport} />}
        </div>
      ))}
    </div>
  )
}

export const FoliosPane = () => {
  const { store } = usePage()
  const machine = useMachine()
  const tab = usePageState((state) => state.folioTab)
  const asTables = usePageState((state) => state.tables)
  const hypervisor = usePageState((state) => state.settings.host.hypervisor)
  const large = usePageState((state) => state.settings.host.gmemLargeFolios) && hypervisor === 'kvm'
  return (
    <Pane
      id="folios"
      title="Folios"
      tools={
        <>
          <Tabs
            label="What the map shows"
            tabs={TABS}
            active={tab}
            onChange={(folioTab) => store.setState({ folioTab })}
          />
          <button
            type="button"
            className="button quiet"
            aria-pressed={asTables}
            data-testid="as-tables"
            title="Maps as tables (M)"
            onClick={() => store.setState({ tables: !asTables })}
          >
            Table
          </button>
        </>
      }
    >
      {machine ? <Maps machine={machine} /> : <NoMachine />}
      <Legend frames={tab === 'frames'} large={large} gunyah={hypervisor === 'gunyah'} />
    </Pane>
  )
}
