// Which guest pages are pinned or poisoned now; nothing when none is.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { count, hex } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import { useHostState } from './use-host-state.ts'

/** More are counted, not listed. */
const LISTED = 8

const Held = ({ id, name, gpas }: { id: string; name: string; gpas: readonly number[] }) => {
  const { store } = usePage()
  if (!gpas.length) return null
  return (
    <p data-testid={id}>
      <span className="muted">{name}</span>{' '}
      {gpas.slice(0, LISTED).map((gpa) => (
        <button
          type="button"
          key={gpa}
          className="link"
          onClick={() => store.setState({ selection: { gfn: Math.floor(gpa / PAGE_SIZE) } })}
        >
          {hex(gpa)}
        </button>
      ))}
      {gpas.length > LISTED && <span className="muted">and {count(gpas.length - LISTED)} more</span>}
    </p>
  )
}

export const HeldPages = () => {
  const state = useHostState()
  if (!state || state.pinned.length + state.poisoned.length === 0) return null
  return (
    <div className="held-pages">
      <Held id="pinned-pages" name="Pinned" gpas={state.pinned} />
      <Held id="poisoned-pages" name="Poisoned" gpas={state.poisoned} />
    </div>
  )
}
