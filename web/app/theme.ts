// Dark and light: follows the system until told otherwise; the maps read their colours from the same variables.

import { type MapColours, readColours } from '../gl/colours.ts'
import type { FrameScheduler } from './frame-scheduler.ts'
import type { Store, ThemeChoice } from './store.ts'

const ORDER: readonly ThemeChoice[] = ['system', 'dark', 'light']

export class Theme {
  #colours: MapColours | null = null
  readonly #store: Store
  readonly #scheduler: FrameScheduler
  readonly #system = matchMedia('(prefers-color-scheme: dark)')
  readonly #listeners = new Set<() => void>()

  constructor(store: Store, scheduler: FrameScheduler) {
    this.#store = store
    this.#scheduler = scheduler
    this.#system.addEventListener('change', () => this.#apply())
    store.subscribe((state, before) => {
      if (state.theme !== before.theme) this.#apply()
    })
    this.#apply()
  }

  get dark(): boolean {
    const { theme } = this.#store.getState()
    return theme === 'system' ? this.#system.matches : theme === 'dark'
  }

  /** The palette of the maps under the theme in force. */
  get colours(): MapColours {
    this.#colours ??= readColours()
    return this.#colours
  }

  /** Calls back after each change of the theme in force. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  next(): void {
    const { theme } = this.#store.getState()
    this.#store.setState({ theme: ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] })
  }

  #apply(): void {
    document.documentElement.dataset.theme = this.dark ? 'dark' : 'light'
    this.#colours = null
    this.#scheduler.invalidate()
    for (const listener of this.#listeners) listener()
  }
}
