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

/** A walk down a tree, root first. */
export const Walk = ({ steps, id, empty }: { steps: readonly WalkStep[]; id: string; empty: string }) =>
  steps.length ? (
    <ol className="walk" data-field={id}>
      {steps.map(({ level, index, hpa, entry }) => (
        <li key={level}>
          <span className="muted">level {level}</span>
          <span>[{index}]</span>
          <span
            className="walk-entry"
            title={hpa === undefined ? undefined : `entry at host address ${hex(hpa)}`}
          >
            {entry}
          </span>
        </li>
      ))}
    </ol>
  ) : (
    <p className="muted" data-field={id}>
      {empty}
    </p>
  )
