// In slow motion: the kernel tasks under way and the step that each stands at.

import { useEffect, useState } from 'react'
import type { KernelTaskState } from '../../core/machine/api.ts'
import { usePage } from '../app/page.ts'

const REFRESH_MS = 80
/** The inspector's own questions run as kernel tasks too, but are no part of the machine's doings. */
const INSPECTION = 'inspect'

export const StepLine = () => {
  const { supervisor } = usePage()
  const [tasks, setTasks] = useState<readonly KernelTaskState[]>([])
  useEffect(() => {
    const timer = setInterval(() => {
      // A worker that is gone answers nothing; the banner says so.
      Promise.resolve()
        .then(() => supervisor.api.kernelTasks())
        .then(setTasks)
        .catch(() => undefined)
    }, REFRESH_MS)
    return () => clearInterval(timer)
  }, [supervisor])
  const shown = tasks.filter(({ name }) => name !== INSPECTION)
  return (
    <ul className="steps" data-testid="kernel-steps" aria-label="Kernel tasks">
      {shown.map(({ name, at, waiting }) => (
        <li key={name} data-waiting={waiting}>
          <span className="muted">{name}</span> <b className="mono">{at ?? 'about to start'}</b>
          {waiting && <span className="muted"> waits</span>}
        </li>
      ))}
      {!shown.length && <li className="muted">No kernel task is under way.</li>}
    </ul>
  )
}
