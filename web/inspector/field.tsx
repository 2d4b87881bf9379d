// The inspector's building blocks: a named value, a section, a walk.

import type { ReactNode } from 'react'
import type { WalkStep } from '../../core/machine/api.ts'
import { hex } from '../app/format.ts'

/** One named value; tests find it by `data-field`. */
export const Field = ({ name, id, children }: { name: string; id: string; children: ReactNode }) => (
  <div className="field-row">
    <dt>{name}</dt>
    <dd data-field={id}>{children}</dd>
  </div>
)

export const Section = ({ title, children }: { title: string; children: ReactNode }) => (
  <section className="inspector-section">
    <h3>{title}</h3>
    {children}
  </section>
)

/** What a valid entry with any of R, W, X maps at each level of Sv39x4 (privileged specification, 12.3.1). */
const LEAF_SIZES = ['4 KiB', '2 MiB', '1 GiB'] as const

/** The size of the page that a stage-2 entry maps; null for a pointer to a table and for nothing. */
const leafSize = ({ level, entry }: WalkStep): string | null => {
  const low = Number.parseInt(entry.slice(-1), 16)
  return low & 1 && low & 0xe ? (LEAF_SIZES[level] ?? null) : null
}

/** A walk down stage 2, root first. */
export const Walk = ({ steps, id, empty }: { steps: readonly WalkStep[]; id: string; empty: string }) =>
  steps.length ? (
    <ol className="walk" data-field={id}>
      {steps.map((step) => {
        const { level, index, hpa, entry } = step
        const leaf = leafSize(step)
        return (
          <li key={level}>
            <span className="muted">level {level}</span>
            <span>[{index}]</span>
            {leaf && <span className="muted">{leaf} leaf</span>}
            <span
              className="walk-entry"
              title={hpa === undefined ? undefined : `entry at host address ${hex(hpa)}`}
            >
              {entry}
            </span>
          </li>
        )
      })}
    </ol>
  ) : (
    <p className="muted" data-field={id}>
      {empty}
    </p>
  )
