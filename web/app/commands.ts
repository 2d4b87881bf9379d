// Every command of the page: one list feeds the palette, the hotkeys and the toolbar's hints.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { MachineState } from '../../core/machine/api.ts'
import { type HostAction, hostActions } from '../host-panel/actions.ts'
import { pageTarget, perform } from '../host-panel/perform.ts'
import { parseNumber } from './format.ts'
import { GUEST_PICKER_ID } from './guest-drop.tsx'
import type { Page } from './page.ts'
import { type ActivityTab, type PaneId, paneIds } from './store.ts'

export interface Command {
  readonly id: string
  readonly group: 'Machine' | 'Memory' | 'View' | 'Go to'
  readonly title: string
  /** As the person presses it: `Mod+K` (Ctrl, or Cmd on a Mac), `R`, `Shift+F6`. */
  readonly hotkey?: string
  /** False: not offered now. */
  readonly when?: (page: Page) => boolean
  readonly run: (page: Page) => void
}

const live = ({ store }: Page): boolean => store.getState().session.phase === 'live'
const running = (page: Page): boolean => live(page) && page.store.getState().run === MachineState.running
const selectedGpa = ({ store }: Page): number | null => {
  const { selection } = store.getState()
  return selection && 'gfn' in selection ? selection.gfn * PAGE_SIZE : null
}
const hasPage = (page: Page): boolean => live(page) && selectedGpa(page) !== null

/** Focuses the part of a pane that takes keys. */
export const focusPane = (id: PaneId): void => {
  const pane = document.querySelector(`[data-pane="${id}"]`)
  const target =
    pane?.querySelector<HTMLElement>('[data-pane-focus]') ??
    pane?.querySelector<HTMLElement>('button, input, select')
  target?.focus()
}

const cyclePane = (step: number): void => {
  const current = document.activeElement?.closest<HTMLElement>('[data-pane]')?.dataset.pane
  const at = paneIds.indexOf(current as PaneId)
  focusPane(paneIds[(at + step + paneIds.length) % paneIds.length])
}

const paneTitles: Readonly<Record<PaneId, string>> = {
  'address-space': 'Address space',
  folios: 'Folios',
  inspector: 'Inspector',
  console: 'Console',
  activity: 'Activity',
}

const showActivity = (id: ActivityTab, title: string): Command => ({
  id: `show-${id}`,
  group: 'View',
  title: `Show ${title}`,
  run: ({ store }) => {
    store.setState({ activityTab: id })
    requestAnimationFrame(() => focusPane('activity'))
  },
})

/** Acts as the host and shows what came of it. */
const hostCommand = (action: HostAction): Command => ({
  id: `host-${action.id}`,
  group: 'Memory',
  title: action.command,
  when: action.needs === 'nothing' ? live : hasPage,
  run: (page) => {
    page.store.setState({ activityTab: 'host' })
    void perform(page, action, pageTarget(selectedGpa(page) ?? 0))
  },
})

export const commands: readonly Command[] = [
  {
    id: 'run-pause',
    group: 'Machine',
    title: 'Run or pause',
    hotkey: 'R',
    when: live,
    run: (page) => void (running(page) ? page.supervisor.pause() : page.supervisor.run()),
  },
  {
    id: 'reset',
    group: 'Machine',
    title: 'Reset',
    hotkey: 'Shift+R',
    run: ({ supervisor }) => void supervisor.reset(),
  },
  {
    id: 'slow-motion',
    group: 'Machine',
    title: 'Slow motion on or off',
    hotkey: 'S',
    when: live,
    run: ({ store, supervisor }) => void supervisor.setSlow(store.getState().slowMs ? 0 : 300),
  },
  {
    id: 'policy',
    group: 'Machine',
    title: 'Conversion policy: accept or refuse',
    when: live,
    run: ({ store, supervisor }) =>
      void supervisor.setPolicy(store.getState().policy === 'accept' ? 'refuse' : 'accept'),
  },
  {
    id: 'open-guest',
    group: 'Machine',
    title: 'Boot another guest (ELF or Image) …',
    hotkey: 'Mod+O',
    run: () => document.getElementById(GUEST_PICKER_ID)?.click(),
  },
  {
    id: 'built-in-guest',
    group: 'Machine',
    title: 'Boot the built-in guest monitor',
    run: ({ supervisor }) => void supervisor.bootGuest(null),
  },
  {
    id: 'guest-settings',
    group: 'Machine',
    title: 'Guest: monitor, litmus tests, Debian Linux …',
    hotkey: 'G',
    run: ({ store }) => store.setState({ guestOpen: true }),
  },
  {
    id: 'host-settings',
    group: 'Machine',
    title: 'Host: Linux version, folio store, large folios, NUMA nodes …',
    hotkey: 'H',
    run: ({ store }) => store.setState({ hostOpen: 'settings' }),
  },
  {
    id: 'host-versions',
    group: 'Machine',
    title: 'What differs between Linux versions …',
    run: ({ store }) => store.setState({ hostOpen: 'versions' }),
  },
  {
    id: 'invariants',
    group: 'Machine',
    title: 'Check the invariants',
    when: live,
    run: ({ supervisor }) => void supervisor.checkInvariants(),
  },
  {
    id: 'crash',
    group: 'Machine',
    title: 'Terminate the hypervisor worker (crash test)',
    when: live,
    run: ({ supervisor }) => supervisor.crash(),
  },
  ...hostActions.map(hostCommand),
  {
    id: 'release-pressure',
    group: 'Memory',
    title: 'Release the pressure on host memory',
    when: (page) => live(page) && page.store.getState().keepFree !== null,
    run: ({ supervisor }) => void supervisor.setPressure(null),
  },
  {
    id: 'palette',
    group: 'View',
    title: 'Command palette, go to an address',
    hotkey: 'Mod+K',
    run: ({ store }) => store.setState(({ paletteOpen }) => ({ paletteOpen: !paletteOpen })),
  },
  {
    id: 'theme',
    group: 'View',
    title: 'Theme: system, dark, light',
    hotkey: 'T',
    run: ({ theme }) => theme.next(),
  },
  {
    id: 'tables',
    group: 'View',
    title: 'Maps as tables',
    hotkey: 'M',
    run: ({ store }) => store.setState(({ tables }) => ({ tables: !tables })),
  },
  {
    id: 'frames',
    group: 'View',
    title: 'Guest memory or host frames in the folio map',
    hotkey: 'F',
    run: ({ store }) =>
      store.setState(({ folioTab }) => ({ folioTab: folioTab === 'halves' ? 'frames' : 'halves' })),
  },
  {
    id: 'screen-reader',
    group: 'View',
    title: 'Console: screen reader mode',
    run: ({ store }) => store.setState(({ screenReader }) => ({ screenReader: !screenReader })),
  },
  {
    id: 'clear-selection',
    group: 'View',
    title: 'Clear the selection',
    hotkey: 'Escape',
    when: ({ store }) => store.getState().selection !== null,
    run: ({ store }) => store.setState({ selection: null }),
  },
  showActivity('conversions', 'conversions'),
  showActivity('events', 'kernel events'),
  showActivity('host', 'the host panel'),
  showActivity('memory', 'host memory and its pressure'),
  ...paneIds.map(
    (id, i): Command => ({
      id: `focus-${id}`,
      group: 'Go to',
      title: paneTitles[id],
      hotkey: String(i + 1),
      run: () => focusPane(id),
    }),
  ),
  { id: 'next-pane', group: 'Go to', title: 'Next pane', hotkey: 'F6', run: () => cyclePane(1) },
  {
    id: 'previous-pane',
    group: 'Go to',
    title: 'Previous pane',
    hotkey: 'Shift+F6',
    run: () => cyclePane(-1),
  },
]

/** The command that an address typed into the palette offers, if `text` is one. */
export const addressCommand = (text: string): Command | null => {
  const gpa = parseNumber(text)
  if (gpa === null) return null
  return {
    id: 'go-to-address',
    group: 'Go to',
    title: `Go to 0x${(Math.floor(gpa / PAGE_SIZE) * PAGE_SIZE).toString(16)}`,
    run: ({ store }) => store.setState({ selection: { gfn: Math.floor(gpa / PAGE_SIZE) } }),
  }
}
