// Notices: what the machine has to say to the person, above the activity that led to it; the live region reads
// each out, and warnings stay until dismissed.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { hex } from './format.ts'
import { usePage, usePageState } from './page.ts'

export const Notices = () => {
  const { store, supervisor } = usePage()
  const notices = usePageState((state) => state.notices)
  return (
    <div className="notices" role="log" aria-live="polite" aria-label="Notices" data-testid="notices">
      {notices.map(({ id, severity, title, detail, gpa }) => (
        <article key={id} className="notice" data-severity={severity}>
          <div className="notice-text">
            <strong>{title}</strong>
            <p>{detail}</p>
          </div>
          <div className="notice-actions">
            {gpa !== undefined && (
              <button
                type="button"
                className="button"
                onClick={() => store.setState({ selection: { gfn: Math.floor(gpa / PAGE_SIZE) } })}
              >
                Show {hex(gpa)}
              </button>
            )}
            <button
              type="button"
              className="button quiet"
              aria-label={`Dismiss: ${title}`}
              onClick={() => supervisor.dismiss(id)}
            >
              Dismiss
            </button>
          </div>
        </article>
      ))}
    </div>
  )
}
