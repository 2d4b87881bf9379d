// Makes the host do something and notes what came of it, for the panel and the palette alike.

import { PAGE_SIZE } from '../../core/base/units.ts'
import type { HostResult } from '../../core/machine/api.ts'
import type { Page } from '../app/page.ts'
import type { HostAction, HostTarget } from './actions.ts'
import { explain, failureName, meaning } from './explain.ts'
import { KEPT_OUTCOMES, type Outcome } from './outcome.ts'

const outcome = (
  { call }: HostAction,
  result: HostResult<string>,
): Pick<Outcome, 'failed' | 'result' | 'why' | 'gpa'> =>
  result.kind === 'ok'
    ? { failed: false, result: result.value, why: meaning(call), gpa: null }
    : {
        failed: true,
        result: failureName(result),
        why: explain(call, result),
        gpa: result.kind === 'errno' ? (result.gpa ?? null) : null,
      }

export const perform = async (
  { store, supervisor }: Page,
  action: HostAction,
  target: HostTarget,
): Promise<void> => {
  const note = (part: ReturnType<typeof outcome>): void =>
    store.setState(({ outcomes }) => {
      const id = (outcomes[0]?.id ?? 0) + 1
      return { outcomes: [{ id, what: action.what(target), ...part }, ...outcomes].slice(0, KEPT_OUTCOMES) }
    })
  try {
    note(outcome(action, await action.run(supervisor.api, target)))
  } catch (error) {
    // The worker is gone.
    const why = error instanceof Error ? error.message : String(error)
    note({ failed: true, result: 'no answer', why, gpa: null })
  }
}

/** What a command of the palette acts on: a page, and these bytes to write. */
export const pageTarget = (gpa: number): HostTarget => ({
  gpa,
  size: PAGE_SIZE,
  data: new TextEncoder().encode('hello from the host'),
})
