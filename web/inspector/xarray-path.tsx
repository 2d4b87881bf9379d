// The way down a guest_memfd's xarray, drawn: a strip of 64 slots a node, the slot taken opening into the node below.

import type { WalkStep } from '../../core/machine/api.ts'
import { count, hex } from '../app/format.ts'
import { indexTerms } from './xarray-terms.ts'

const SLOTS = 64
/** Drawing units a slot is wide; the drawing fits the pane. */
const SLOT = 4
const WIDTH = SLOTS * SLOT
const STRIP = 9
const FAN = 13

const slotKinds = ['empty', 'node', 'entry'] as const

/** Indexes that one slot of a level stands for. */
const spanOf = (level: number): number => SLOTS ** level

const Strip = ({ step, opens }: { step: WalkStep; opens: boolean }) => {
  const at = step.index * SLOT
  return (
    <svg
      className="xarray-strip"
      viewBox={`0 0 ${WIDTH} ${opens ? STRIP + FAN : STRIP}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {opens && (
        <path className="xarray-fan" d={`M${at} ${STRIP} H${at + SLOT} L${WIDTH} ${STRIP + FAN} H0 Z`} />
      )}
      {Array.from({ length: SLOTS }, (_, slot) => (
        <rect
          // biome-ignore lint/suspicious/noArrayIndexKey: a slot is its number
          key={slot}
          className="xarray-slot"
          data-kind={slotKinds[step.slots?.[slot] ?? 0]}
          data-taken={slot === step.index}
          x={slot * SLOT + 0.4}
          y={slot === step.index ? 0 : 1}
          width={SLOT - 0.8}
          height={slot === step.index ? STRIP : STRIP - 2}
        />
      ))}
    </svg>
  )
}

/** How many of a node's slots are in use, in words. */
const usage = ({ slots }: WalkStep): string =>
  slots ? `${slots.reduce((sum, kind) => sum + (kind ? 1 : 0), 0)} of ${SLOTS} slots in use` : ''

export const XarrayPath = ({
  index,
  steps,
  folio,
}: {
  /** Page index in the file. */
  index: number
  steps: readonly WalkStep[]
  /** What stands at the end, in words; null when nothing does. */
  folio: string | null
}) => {
  if (!steps.length) {
    return (
      <p className="muted" data-field="xarray">
        The tree holds nothing yet.
      </p>
    )
  }
  return (
    <div className="xarray" data-field="xarray">
      <p className="muted">
        Index {hex(index)} = {indexTerms(steps)}
      </p>
      <ol>
        {steps.map((step, i) => (
          <li key={step.level} data-testid="xarray-node">
            <div className="xarray-line">
              <span className="muted">level {step.level}</span>
              <span className="mono">slot {step.index}</span>
              <span className="muted xarray-span">
                {step.level ? `${count(spanOf(step.level))} pages a slot` : 'a page a slot'}
              </span>
            </div>
            <span className="visually-hidden">{usage(step)}</span>
            <Strip step={step} opens={i < steps.length - 1} />
          </li>
        ))}
      </ol>
      <p className="xarray-end" data-empty={folio === null} data-testid="xarray-end">
        {folio ?? 'empty slot: no folio'}
      </p>
    </div>
  )
}
