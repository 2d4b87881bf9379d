// The page's state: session, run state, selection, layout. Nothing here changes at frame rate.

import { createStore, type StoreApi } from 'zustand/vanilla'
import type { ConversionPolicy, MachineNotice, StopReason } from '../../core/machine/api.ts'
import { defaultHostChoice, type HostChoice } from '../../core/machine/host-choice.ts'
import type { Guest } from '../guest/guest.ts'
import { defaultLinux, type LinuxSettings, recallLinux } from '../guest/linux-settings.ts'
import type { LinuxStatus, Provided } from '../guest/linux-status.ts'
import type { Outcome } from '../host-panel/outcome.ts'
import { recallHost } from '../host-settings/recall-host.ts'
import type { PageRef } from '../model/chain.ts'

/** Where the page is on its way to a live machine. */
export type Session =
  | { readonly phase: 'starting'; readonly step: string }
  | { readonly phase: 'live' }
  /** The machine could not be made; `smaller` is a configuration that may work. */
  | { readonly phase: 'failed'; readonly message: string; readonly smaller: Settings | null }
  /** The hypervisor worker died: the maps stand still. */
  | { readonly phase: 'dead'; readonly cause: string }

/** What the person chose to build the machine from. */
export interface Settings {
  readonly vcpus: number
  readonly ramMiB: number
  readonly host: HostChoice
}

export interface Notice extends MachineNotice {
  readonly id: number
}

export const paneIds = ['address-space', 'folios', 'inspector', 'console', 'activity'] as const
export type PaneId = (typeof paneIds)[number]

export type ActivityTab = 'conversions' | 'events' | 'host' | 'memory'
export type FolioTab = 'halves' | 'frames'
export type ThemeChoice = 'system' | 'light' | 'dark'

export interface PageState {
  readonly session: Session
  /** MachineState. */
  readonly run: number
  /** Asked to pause; the vCPUs are still on their way out. */
  readonly pausing: boolean
  readonly stop: StopReason | null
  /** Resets so far: each starts with a clear console. */
  readonly resets: number
  readonly settings: Settings
  /** What the machine boots; null: the built-in monitor. */
  readonly guest: Guest | null
  /** The dialog that chooses it is open. */
  readonly guestOpen: boolean
  /** How far Debian's Linux is on the page's server. */
  readonly linux: LinuxStatus
  /** The person's own Linux. */
  readonly provided: Provided
  readonly linuxSettings: LinuxSettings
  readonly policy: ConversionPolicy
  /** Milliseconds a kernel step takes; 0: full speed. */
  readonly slowMs: number
  readonly selection: PageRef | null
  readonly hover: PageRef | null
  readonly notices: readonly Notice[]
  readonly paletteOpen: boolean
  /** The host's settings are open, with the focus there or on the version table. */
  readonly hostOpen: 'settings' | 'versions' | null
  /** What the host process was made to do, newest first. */
  readonly outcomes: readonly Outcome[]
  /** Frames that another process leaves free; null: it takes none. */
  readonly keepFree: number | null
  readonly theme: ThemeChoice
  readonly activityTab: ActivityTab
  readonly folioTab: FolioTab
  /** The maps as tables. */
  readonly tables: boolean
  /** xterm's screen reader mode. */
  readonly screenReader: boolean
}

export type Store = StoreApi<PageState>

const STORAGE_KEY = 'gmemscope'
/** Bump when a remembered field changes its meaning; older states are then dropped. */
const STORAGE_VERSION = 1

type Remembered = Pick<PageState, 'settings' | 'linuxSettings' | 'theme' | 'tables' | 'screenReader'>

const defaults: Remembered = {
  settings: { vcpus: 2, ramMiB: 128, host: defaultHostChoice },
  linuxSettings: defaultLinux,
  theme: 'system',
  tables: false,
  screenReader: false,
}

const recall = (): Remembered => {
  try {
    const saved = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? 'null')
    if (saved?.version !== STORAGE_VERSION) return defaults
    const host = recallHost(saved.state.settings?.host)
    const settings = { ...defaults.settings, ...saved.state.settings, host }
    return { ...defaults, ...saved.state, settings, linuxSettings: recallLinux(saved.state.linuxSettings) }
  } catch {
    // Storage is refused or its contents are broken: the defaults are as good as any.
    return defaults
  }
}

const remember = ({ settings, linuxSettings, theme, tables, screenReader }: PageState): void => {
  try {
    const state: Remembered = { settings, linuxSettings, theme, tables, screenReader }
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ version: STORAGE_VERSION, state }))
  } catch {
    // Without storage the page simply forgets.
  }
}

export const createPageStore = (): Store => {
  const store = createStore<PageState>(() => ({
    ...recall(),
    session: { phase: 'starting', step: 'Loading the page' },
    run: 0,
    pausing: false,
    stop: null,
    resets: 0,
    guest: null,
    guestOpen: false,
    linux: { state: 'asking' },
    provided: {},
    policy: 'accept',
    slowMs: 0,
    selection: null,
    hover: null,
    notices: [],
    paletteOpen: false,
    hostOpen: null,
    outcomes: [],
    keepFree: null,
    activityTab: 'conversions',
    folioTab: 'halves',
  }))
  store.subscribe(remember)
  return store
}
