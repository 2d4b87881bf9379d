// In slow motion: the kernel step that was taken last, and by which task.

import { useRef } from 'react'
import { useDrawer, useMachine } from '../app/page.ts'

export const StepLine = () => {
  const machine = useMachine()
  const text = useRef<HTMLElement>(null)
  useDrawer(() => {
    const step = machine?.log.step
    const next = step
      ? step.fields.map(([name, value]) => `${name} ${value}`).join(', ')
      : 'no kernel path is under way'
    if (text.current && text.current.textContent !== next) text.current.textContent = next
  })
  return (
    <p className="step-line" data-testid="kernel-step">
      Slow motion <b ref={text} className="mono" />
    </p>
  )
}
