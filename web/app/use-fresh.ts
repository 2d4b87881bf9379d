// Keeps an answer of the hypervisor fresh: asks again when the tables moved, a few times a second at most.

import { useEffect, useRef, useState } from 'react'
import type { MachineApi } from '../../core/machine/api.ts'
import { useDrawer, useMachine, usePage, usePageState } from './page.ts'
import type { Machine } from './supervisor.ts'

/** Milliseconds between two questions: at least while the tables move, at most while they rest. */
export interface Pace {
  readonly least: number
  readonly most: number
}

/**
 * What `ask` answers about `subject` on the live machine; null until its first answer. A dead worker's last answer
 * stays. A subject of null asks nothing.
 */
export const useFresh = <T>(
  subject: string | number | null,
  ask: (api: MachineApi) => Promise<T>,
  { least, most }: Pace,
): T | null => {
  const { supervisor } = usePage()
  const machine = useMachine()
  const isLive = usePageState((state) => state.session.phase === 'live')
  const [answer, setAnswer] = useState<{ subject: typeof subject; machine: Machine; value: T } | null>(null)
  const asked = useRef({ at: Number.NEGATIVE_INFINITY, due: true, busy: false })

  // biome-ignore lint/correctness/useExhaustiveDependencies: another subject or machine asks at once
  useEffect(() => {
    asked.current.due = true
    asked.current.at = Number.NEGATIVE_INFINITY
  }, [subject, machine])

  useDrawer(({ now, changed }) => {
    const state = asked.current
    state.due ||= changed || now - state.at > most
    if (subject === null || !isLive || !machine || state.busy || !state.due || now - state.at < least) return
    state.at = now
    state.due = false
    state.busy = true
    ask(supervisor.api)
      .then((value) => setAnswer({ subject, machine, value }))
      // The worker is gone; what is shown last stays, dimmed with the maps.
      .catch(() => undefined)
      .finally(() => {
        state.busy = false
      })
  })
  return answer && answer.subject === subject && answer.machine === machine ? answer.value : null
}
