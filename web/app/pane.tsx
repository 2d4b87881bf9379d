// A pane: a titled region with its tools and its content.

import type { ReactNode } from 'react'
import type { PaneId } from './store.ts'

export const Pane = ({
  id,
  title,
  note,
  tools,
  children,
}: {
  id: PaneId
  title: ReactNode
  note?: ReactNode
  tools?: ReactNode
  children: ReactNode
}) => (
  <section className="pane" data-testid={`pane-${id}`} data-pane={id} aria-labelledby={`${id}-title`}>
    <header className="pane-head">
      <h2 id={`${id}-title`} className="pane-title">
        {title}
      </h2>
      {note !== undefined && <span className="pane-note">{note}</span>}
      {tools && <div className="pane-tools">{tools}</div>}
    </header>
    <div className="pane-body">{children}</div>
  </section>
)

/** A row of tabs that arrow keys walk through (ARIA tabs pattern). */
export const Tabs = <Id extends string>({
  label,
  tabs,
  active,
  onChange,
}: {
  label: string
  tabs: readonly { readonly id: Id; readonly title: string }[]
  active: Id
  onChange: (id: Id) => void
}) => (
  <div className="tabs" role="tablist" aria-label={label}>
    {tabs.map(({ id, title }, i) => (
      <button
        type="button"
        key={id}
        role="tab"
        className="tab"
        data-testid={`tab-${id}`}
        aria-selected={id === active}
        tabIndex={id === active ? 0 : -1}
        onClick={() => onChange(id)}
        onKeyDown={(event) => {
          const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
          if (!step) return
          const at = (i + step + tabs.length) % tabs.length
          onChange(tabs[at].id)
          const next = event.currentTarget.parentElement?.children[at]
          if (next instanceof HTMLElement) next.focus()
        }}
      >
        {title}
      </button>
    ))}
  </div>
)
