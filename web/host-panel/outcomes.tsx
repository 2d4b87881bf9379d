// What came of the host's calls, newest first: the kernel's own answer, what it means, where it failed.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { hex } from '../app/format.ts'
import { usePage, usePageState } from '../app/page.ts'

export const Outcomes = () => {
  const { store } = usePage()
  const outcomes = usePageState((state) => state.outcomes)
  return (
    <ol className="outcomes" aria-live="polite" data-testid="host-log">
      {!outcomes.length && (
        <li className="muted">
          These act as the VMM process does: loads, stores and system calls on its own mapping and files, with
          the answers the kernel gives it. <kbd>Enter</kbd> reads, or writes in the last field.
        </li>
      )}
      {outcomes.map(({ id, what, failed, result, why, gpa }) => (
        <li key={id} data-failed={failed} data-testid="host-outcome">
          <span className="muted">{what}</span>
          {result.includes('\n') ? <pre>{result}</pre> : <strong>{result}</strong>}
          {gpa !== null && (
            <button
              type="button"
              className="link"
              data-testid="failed-at"
              onClick={() => store.setState({ selection: { gfn: Math.floor(gpa / PAGE_SIZE) } })}
            >
              at {hex(gpa)}
            </button>
          )}
          {why && <span>{why}</span>}
        </li>
      ))}
    </ol>
  )
}
