// The page's services, made once and handed down by React's context; hooks to reach them.

import { createContext, use, useEffect, useRef, useState } from 'react'
import { useStore } from 'zustand'
import { LinuxSource } from '../guest/linux-source.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { type Drawer, FrameScheduler } from './frame-scheduler.ts'
import { createPageStore, type PageState, type Store } from './store.ts'
import { type Machine, Supervisor } from './supervisor.ts'
import { Theme } from './theme.ts'

export interface Page {
  readonly environment: Environment
  readonly store: Store
  readonly scheduler: FrameScheduler
  readonly supervisor: Supervisor
  readonly linux: LinuxSource
  readonly theme: Theme
  start(): void
}

export const createPage = (spawn: () => Worker): Page => {
  const store = createPageStore()
  const scheduler = new FrameScheduler()
  const supervisor = new Supervisor(store, scheduler, spawn)
  const linux = new LinuxSource(store)
  const environment = readEnvironment()
  // The maps show the selection and what is hovered, among others; nothing in the store changes often.
  store.subscribe(() => scheduler.invalidate())
  return {
    environment,
    store,
    scheduler,
    supervisor,
    linux,
    theme: new Theme(store, scheduler),
    start() {
      if (!environment.isolated) return
      scheduler.start()
      void supervisor.boot()
      void linux.start()
    },
  }
}

export const PageContext = createContext<Page | null>(null)

export const usePage = (): Page => {
  const page = use(PageContext)
  if (!page) throw new Error('usePage() outside the page')
  return page
}

export const usePageState = <T>(selector: (state: PageState) => T): T => useStore(usePage().store, selector)

/** The live machine; re-renders when another one takes its place. */
export const useMachine = (): Machine | null => {
  const { supervisor } = usePage()
  usePageState((state) => state.session)
  return supervisor.machine
}

/** Calls `draw` in every frame's drawing half while the component is mounted. */
export const useDrawer = (draw: Drawer): void => {
  const { scheduler } = usePage()
  const latest = useRef(draw)
  useEffect(() => {
    latest.current = draw
  })
  useEffect(() => scheduler.addDrawer((frame) => latest.current(frame)), [scheduler])
}

/** Re-renders when the shared tables changed or the log grew, at most every `ms` milliseconds, and once more when they rest. */
export const useSampled = (ms: number): number => {
  const [tick, setTick] = useState(0)
  const state = useRef({ at: 0, due: false })
  useDrawer(({ now, changed, logged }) => {
    const s = state.current
    s.due ||= changed || logged
    if (!s.due || now - s.at < ms) return
    s.at = now
    s.due = false
    setTick((t) => t + 1)
  })
  return tick
}
