// What every map does alike with pointer, wheel and keys.

import type { KeyboardEvent } from 'react'
import { type PageRef, samePage } from '../model/chain.ts'
import { usePage } from './page.ts'

/** A pointer that moved less than this many pixels has clicked. */
export const CLICK_SLACK = 4

const WHEEL_STEP = 1.0018
/** A pinch comes as small steps with the Control key. */
const PINCH = 6

/** The zoom factor of a turn of the wheel or of a pinch. */
export const wheelFactor = ({ deltaY, ctrlKey }: WheelEvent): number =>
  WHEEL_STEP ** (-deltaY * (ctrlKey ? PINCH : 1))

/** Tells the page what lies under the pointer; every map lights its chain. */
export const useHover = (): ((ref: PageRef | null) => void) => {
  const { store, scheduler } = usePage()
  return (ref) => {
    if (samePage(store.getState().hover, ref)) return
    store.setState({ hover: ref })
    scheduler.invalidate()
  }
}

/** A map's keys; chords are left to the page and the browser. */
export const onKeys =
  (keys: ReadonlyMap<string, () => void>) =>
  (event: KeyboardEvent): void => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys.get(event.key)
    if (!action) return
    event.preventDefault()
    action()
  }
