// The states in which the page cannot work at all: what is missing, why, and what to do.

import type { ReactNode } from 'react'
import { ISOLATION_HEADERS } from './environment.ts'

const Barrier = ({ id, title, children }: { id: string; title: string; children: ReactNode }) => (
  <main className="barrier" data-testid={id}>
    <p className="brand">gmemscope</p>
    <h1>{title}</h1>
    {children}
  </main>
)

export const NotIsolated = () => (
  <Barrier id="not-isolated" title="This page is not cross-origin isolated">
    <p>
      The emulated host’s memory is one <code>SharedArrayBuffer</code> that all of the machine’s threads
      share. Browsers offer it only to a document that was served with two headers, over HTTPS or from
      localhost.
    </p>
    <p>Let the server send both with this page:</p>
    <pre>{ISOLATION_HEADERS.join('\n')}</pre>
    <p>
      From a clone of the repository, <code>npm start</code> serves the page with them. If this page is
      embedded in another one, <a href={location.href}>open it in a tab of its own</a>.
    </p>
    <button type="button" className="button primary" onClick={() => location.reload()}>
      Try again
    </button>
  </Barrier>
)

export const NoWebGl = () => (
  <Barrier id="no-webgl" title="This browser offers no WebGL2">
    <p>The memory maps are drawn with WebGL2, and this browser refuses a context for it.</p>
    <p>
      Turn on hardware acceleration in the browser’s settings, or use Chrome 112, Firefox 145, Safari 18.2 or
      later. In headless Chromium, start with <code>--enable-unsafe-swiftshader</code>.
    </p>
    <button type="button" className="button primary" onClick={() => location.reload()}>
      Try again
    </button>
  </Barrier>
)
