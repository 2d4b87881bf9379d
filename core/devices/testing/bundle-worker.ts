// Starts a TypeScript module of the tests as a Node worker thread: several real threads over one shared buffer.
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { build } from 'vite'

/** Bundles the module at `url` and returns a function that starts a worker on it with `workerData`. */
export async function bundleWorker(url: URL): Promise<(workerData: unknown) => Worker> {
  const result = await build({
    configFile: false,
    tsconfig: fileURLToPath(new URL('../../../tsconfig.base.json', import.meta.url)),
    logLevel: 'error',
    build: { ssr: fileURLToPath(url), write: false, target: 'node20' },
    ssr: { noExternal: true },
  })
  if (!('output' in result)) throw new Error('expected one bundle')
  const code = new URL(`data:text/javascript,${encodeURIComponent(result.output[0].code)}`)
  return (workerData) => new Worker(code, { workerData })
}

/** Resolves when the worker ends by itself with status 0. */
export const finished = (worker: Worker): Promise<void> =>
  new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`worker ended with ${code}`))))
  })
