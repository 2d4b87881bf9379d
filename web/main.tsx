// The page's entry: makes the page's services, boots the machine, renders.

import { createRoot } from 'react-dom/client'
import { App } from './app/app.tsx'
import { createPage, PageContext } from './app/page.ts'
import { spawnWorker } from './app/supervisor.ts'
import './app/styles/index.css'

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
const page = createPage(spawnWorker)
page.start()
createRoot(root).render(
  <PageContext value={page}>
    <App />
  </PageContext>,
)
