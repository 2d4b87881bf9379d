// The workspace: the panes and their sizes, which the browser remembers.

import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels'
import { AddressSpacePane } from '../address-space/address-space-pane.tsx'
import { ConsolePane } from '../console/console-pane.tsx'
import { ActivityPane } from '../conversions/activity-pane.tsx'
import { FoliosPane } from '../folios/folios-pane.tsx'
import { InspectorPane } from '../inspector/inspector-pane.tsx'
import { usePageState } from './page.ts'

export const Workspace = () => {
  const isFrozen = usePageState((state) => state.session.phase === 'dead')
  const rows = useDefaultLayout({ id: 'rows', storage: localStorage })
  const upper = useDefaultLayout({ id: 'upper', storage: localStorage })
  const lower = useDefaultLayout({ id: 'lower', storage: localStorage })
  return (
    <main className="workspace" data-frozen={isFrozen} data-testid="workspace">
      <Group id="rows" orientation="vertical" {...rows}>
        <Panel id="upper-row" defaultSize="64%" minSize="180px">
          <Group id="upper" orientation="horizontal" {...upper}>
            <Panel id="left" defaultSize="23%" minSize="264px">
              <AddressSpacePane />
            </Panel>
            <Separator className="separator" aria-label="Resize address space and folios" />
            <Panel id="centre" minSize="240px">
              <FoliosPane />
            </Panel>
            <Separator className="separator" aria-label="Resize folios and inspector" />
            <Panel id="right" defaultSize="25%" minSize="240px">
              <InspectorPane />
            </Panel>
          </Group>
        </Panel>
        <Separator className="separator" aria-label="Resize maps and console" />
        <Panel id="lower-row" minSize="120px">
          <Group id="lower" orientation="horizontal" {...lower}>
            <Panel id="lower-left" defaultSize="46%" minSize="260px">
              <ConsolePane />
            </Panel>
            <Separator className="separator" aria-label="Resize console and activity" />
            <Panel id="lower-right" minSize="300px">
              <ActivityPane />
            </Panel>
          </Group>
        </Panel>
      </Group>
    </main>
  )
}
