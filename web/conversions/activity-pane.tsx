// The activity pane: conversions, kernel events and the host panel, one at a time.

import { Notices } from '../app/notices.tsx'
import { usePage, usePageState } from '../app/page.ts'
import { Pane, Tabs } from '../app/pane.tsx'
import { MemoryPanel } from '../host-memory/memory-panel.tsx'
import { HostPanel } from '../host-panel/host-panel.tsx'
import { ParcelList } from '../parcels/parcel-list.tsx'
import { ConversionList } from './conversion-list.tsx'
import { EventList } from './event-list.tsx'
import { StepLine } from './step-line.tsx'
import './conversions.css'

const TABS = [
  { id: 'conversions', title: 'Conversions' },
  { id: 'parcels', title: 'Parcels' },
  { id: 'events', title: 'Kernel events' },
  { id: 'host', title: 'Host panel' },
  { id: 'memory', title: 'Host memory' },
] as const

export const ActivityPane = () => {
  const { store } = usePage()
  const tab = usePageState((state) => state.activityTab)
  const hypervisor = usePageState((state) => state.settings.host.hypervisor)
  const slowMs = usePageState((state) => state.slowMs)
  return (
    <Pane
      id="activity"
      title="Activity"
      tools={
        <Tabs
          label="Activity"
          tabs={hypervisor === 'gunyah' ? TABS : TABS.filter(({ id }) => id !== 'parcels')}
          active={tab}
          onChange={(activityTab) => store.setState({ activityTab })}
        />
      }
    >
      <Notices />
      {slowMs > 0 && <StepLine />}
      {tab === 'conversions' && <ConversionList />}
      {tab === 'parcels' && <ParcelList />}
      {tab === 'events' && <EventList />}
      {tab === 'host' && <HostPanel />}
      {tab === 'memory' && <MemoryPanel />}
    </Pane>
  )
}
