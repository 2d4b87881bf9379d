// What dialogs of settings are made of.

import type { ReactNode } from 'react'

/** A setting of a dialog: its name, its control, and what it means. */
export const Setting = ({ name, hint, children }: { name: string; hint: ReactNode; children: ReactNode }) => (
  <fieldset className="setting">
    <legend>{name}</legend>
    {children}
    <p className="muted">{hint}</p>
  </fieldset>
)

/** One of a few values, as buttons in a row. */
export const Choice = <T extends string | number>({
  id,
  options,
  value,
  label = String,
  onChange,
}: {
  id: string
  options: readonly T[]
  value: T
  label?: (option: T) => string
  onChange: (value: T) => void
}) => (
  <div className="segmented">
    {options.map((option) => (
      <button
        type="button"
        key={option}
        data-testid={`${id}-${option}`}
        aria-pressed={option === value}
        onClick={() => onChange(option)}
      >
        {label(option)}
      </button>
    ))}
  </div>
)
