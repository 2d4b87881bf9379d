// `npm start`: builds the page if its sources changed and serves it, cross-origin isolated, on this computer.
// usage: npm start [-- --port N] [--strict-port] [--host ADDRESS]
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fingerprint } from './fingerprint.mjs'
import { root, setup } from './setup.mjs'

/** What the page is built from. */
const SOURCES = ['core', 'worker', 'web', 'public', 'vite.config.ts', 'package-lock.json']

/** The command line, or an exit with status 2. */
function options() {
  const result = { port: 4173, strictPort: false, host: 'localhost' }
  const args = process.argv.slice(2)
  while (args.length > 0) {
    const arg = args.shift()
    if (arg === '--strict-port') result.strictPort = true
    else if (arg === '--port' && /^\d+$/.test(args[0] ?? '')) result.port = Number(args.shift())
    else if (arg === '--host' && args[0]) result.host = String(args.shift())
    else {
      console.error('usage: npm start [-- --port N] [--strict-port] [--host ADDRESS]')
      process.exit(2)
    }
  }
  return result
}

/** Brings dist/web up to date; the fingerprint of what it was built from lies in .cache. */
async function buildPage() {
  const stamp = join(root, '.cache', 'web')
  const current = fingerprint(root, SOURCES)
  const page = join(root, 'dist', 'web', 'index.html')
  if (existsSync(page) && existsSync(stamp) && readFileSync(stamp, 'utf8') === current) return
  rmSync(stamp, { force: true })
  const { build } = await import('vite')
  await build({ configFile: join(root, 'vite.config.ts'), root: join(root, 'web'), logLevel: 'warn' })
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, current)
}

const { port, strictPort, host } = options()
setup()
await buildPage()
const { preview } = await import('vite')
const server = await preview({
  configFile: join(root, 'vite.config.ts'),
  root: join(root, 'web'),
  logLevel: 'warn',
  preview: { port, strictPort, host },
}).catch((error) => {
  console.error(error.message) // the port is taken, or the address is not this computer's
  process.exit(1)
})
const address = server.httpServer.address()
const bound = address && typeof address === 'object' ? address.port : port
console.log(`gmemscope is at http://${host}:${bound}/   (Ctrl-C ends it)`)
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => server.close().finally(() => process.exit(0)))
