// `npm start`: builds the page if its sources changed and serves it, cross-origin isolated, on this computer. Debian's
// Linux, which the page can boot, is fetched in the background (113 MB, once); --no-linux leaves that out.
// usage: npm start [-- --port N] [--strict-port] [--host ADDRESS] [--no-linux]
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fingerprint } from './fingerprint.mjs'
import { LinuxServer } from './linux-server.mjs'
import { root, setup } from './setup.mjs'

/** What the page is built from. */
const SOURCES = ['core', 'worker', 'web', 'public', 'vite.config.ts', 'package-lock.json']

/** The command line, or an exit with status 2. */
function options() {
  const result = { port: 4173, strictPort: false, host: 'localhost', linux: true }
  const args = process.argv.slice(2)
  while (args.length > 0) {
    const arg = args.shift()
    if (arg === '--no-linux') result.linux = false
    else if (arg === '--strict-port') result.strictPort = true
    else if (arg === '--port' && /^\d+$/.test(args[0] ?? '')) result.port = Number(args.shift())
    else if (arg === '--host' && args[0]) result.host = String(args.shift())
    else {
      console.error('usage: npm start [-- --port N] [--strict-port] [--host ADDRESS] [--no-linux]')
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

const { port, strictPort, host, linux } = options()
setup()
await buildPage()
const { preview } = await import('vite')
/** @type {LinuxServer | undefined} */
let linuxServer
const server = await preview({
  configFile: join(root, 'vite.config.ts'),
  root: join(root, 'web'),
  logLevel: 'warn',
  preview: { port, strictPort, host },
  plugins: [
    {
      name: 'gmemscope:linux',
      configurePreviewServer({ middlewares, config }) {
        linuxServer = new LinuxServer(/** @type {Record<string, string>} */ (config.preview.headers))
        middlewares.use(linuxServer.handle)
      },
    },
  ],
}).catch((error) => {
  console.error(error.message) // the port is taken, or the address is not this computer's
  process.exit(1)
})
const address = server.httpServer.address()
const bound = address && typeof address === 'object' ? address.port : port
console.log(`gmemscope is at http://${host}:${bound}/   (Ctrl-C ends it)`)
if (linux) linuxServer?.start()
else linuxServer?.unavailable('the server was started with --no-linux')
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    linuxServer?.stop()
    server.close().finally(() => process.exit(0))
  })
