// A region that scrolls and that keys can reach: what a pane with a list or a table gives the focus to.

import type { ReactNode } from 'react'

export const ScrollArea = ({
  label,
  className,
  testId,
  children,
}: {
  label: string
  className: string
  testId?: string
  children: ReactNode
}) => (
  <section
    className={className}
    aria-label={label}
    data-testid={testId}
    data-pane-focus=""
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keys
    tabIndex={0}
  >
    {children}
  </section>
)
