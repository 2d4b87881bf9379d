// The whole page: the states in which there is no machine, else toolbar, workspace and status bar.

import { GuestDialog } from '../guest/guest-dialog.tsx'
import { HostDialog } from '../host-settings/host-dialog.tsx'
import { NotIsolated, NoWebGl } from './barriers.tsx'
import { GuestDrop } from './guest-drop.tsx'
import { useHotkeys } from './hotkeys.ts'
import { usePage } from './page.ts'
import { Palette } from './palette.tsx'
import { SessionBanner } from './session-banner.tsx'
import { StatusBar } from './status-bar.tsx'
import { Toolbar } from './toolbar.tsx'
import { Workspace } from './workspace.tsx'

const Live = () => {
  useHotkeys()
  return (
    <div className="app">
      <Toolbar />
      <SessionBanner />
      <Workspace />
      <StatusBar />
      <Palette />
      <HostDialog />
      <GuestDialog />
      <GuestDrop />
    </div>
  )
}

export const App = () => {
  const { environment } = usePage()
  if (!environment.isolated) return <NotIsolated />
  if (!environment.webgl2) return <NoWebGl />
  return <Live />
}
