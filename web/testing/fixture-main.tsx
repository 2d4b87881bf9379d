// Development only: the page over a fixture that fills the shared tables without a machine.
import { createRoot } from 'react-dom/client'
import { App } from '../app/app.tsx'
import { createPage, PageContext } from '../app/page.ts'
import '../app/styles/index.css'

const root = document.getElementById('root')
if (!root) throw new Error('no #root')
const page = createPage(() => new Worker(new URL('./fixture.worker.ts', import.meta.url), { type: 'module' }))
page.store.setState({ guest: { name: 'fixture', bytes: new Uint8Array(0) } })
page.start()
createRoot(root).render(
  <PageContext value={page}>
    <App />
  </PageContext>,
)
