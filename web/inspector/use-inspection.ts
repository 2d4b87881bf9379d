// Keeps an inspection of the selected page fresh: asks again when the tables moved, a few times a second at most.

import { useEffect, useRef, useState } from 'react'
import { PAGE_SIZE } from '../../core/base/units.ts'
import type { PageInspection } from '../../core/machine/api.ts'
import { useDrawer, useMachine, usePage, usePageState } from '../app/page.ts'

const REFRESH_MS = 200
/** Contents change without any table moving: a guest's store leaves no trace. */
const CONTENTS_MS = 1_000
const BYTES = 32

export const useInspection = (gfn: number | null): PageInspection | null => {
  const { supervisor } = usePage()
  const machine = useMachine()
  const isLive = usePageState((state) => state.session.phase === 'live')
  const [inspection, setInspection] = useState<PageInspection | null>(null)
  const asked = useRef({ at: Number.NEGATIVE_INFINITY, due: true, busy: false })

  // biome-ignore lint/correctness/useExhaustiveDependencies: another page or machine asks at once
  useEffect(() => {
    asked.current.due = true
    asked.current.at = Number.NEGATIVE_INFINITY
  }, [gfn, machine])

  useDrawer(({ now, changed }) => {
    const state = asked.current
    state.due ||= changed || now - state.at > CONTENTS_MS
    if (gfn === null || !isLive || !machine || state.busy || !state.due || now - state.at < REFRESH_MS) return
    state.at = now
    state.due = false
    state.busy = true
    supervisor.api
      .inspect(gfn * PAGE_SIZE, BYTES)
      .then(setInspection)
      // The worker is gone; what is shown last stays, dimmed with the maps.
      .catch(() => undefined)
      .finally(() => {
        state.busy = false
      })
  })
  return inspection && inspection.gfn === gfn ? inspection : null
}
