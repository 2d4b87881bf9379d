// Debian's Linux for the page: fetched in the background while the page is served, handed out below /linux/.
//
//   GET  /linux/status              how far it is: {"state": "fetching" | "ready" | "unavailable", ...} (main.ts --json)
//   POST /linux/fetch               tries again after "unavailable"
//   GET  /linux/Image               the kernel, once ready
//   GET  /linux/initramfs.cpio.gz   its initial RAM disk
import { spawn } from 'node:child_process'
import { createReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './setup.mjs'

/** What GET /linux/status answers. */
/** @typedef {{ state: string, [field: string]: unknown }} Status */

const FILES = ['Image', 'initramfs.cpio.gz']
const PREFIX = '/linux/'

/** Fetches and serves. One an HTTP server. */
export class LinuxServer {
  #headers
  #folder = join(root, '.cache', 'linux', 'served')
  /** @type {Status} */
  #status = { state: 'fetching', step: 'Looking for Debian’s Linux', fraction: 0 }
  /** @type {import('node:child_process').ChildProcess | null} */
  #child = null

  /** @param {Record<string, string>} headers sent with every answer: the page's isolation */
  constructor(headers) {
    this.#headers = headers
  }

  /** Looks in the cache, and fetches what is not there. */
  start() {
    if (this.#child) return
    this.#status = { state: 'fetching', step: 'Looking for Debian’s Linux', fraction: 0 }
    const args = ['scripts/run.mjs', 'worker/node/linux/main.ts', '--json', '--out', this.#folder]
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    let rest = ''
    let errors = ''
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#told(line)
    })
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    child.once('close', () => {
      this.#child = null
      if (this.#status.state === 'fetching')
        this.unavailable(errors.trim().split('\n').at(-1) || 'it was ended')
    })
  }

  /** @param {string} line of main.ts; what is no JSON is for people */
  #told(line) {
    try {
      this.#status = JSON.parse(line)
    } catch {
      console.error(line)
    }
  }

  /** @param {string} reason */
  unavailable(reason) {
    const remedy = 'Provide a RISC-V kernel and an initial RAM disk of your own, as files.'
    this.#status = { state: 'unavailable', reason: `Debian’s Linux was not fetched: ${reason}`, remedy }
  }

  /** Ends a fetch under way; what it got so far is kept. */
  stop() {
    this.#child?.kill('SIGTERM')
  }

  /**
   * Connect middleware.
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   * @param {() => void} next
   */
  handle = (request, response, next) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (!path.startsWith(PREFIX)) return next()
    const name = path.slice(PREFIX.length)
    for (const [header, value] of Object.entries(this.#headers)) response.setHeader(header, value)
    response.setHeader('Cache-Control', 'no-store')
    if (name === 'fetch' && request.method === 'POST') {
      if (this.#status.state === 'unavailable') this.start()
      return this.#answer(response)
    }
    if (request.method !== 'GET') return response.writeHead(405).end()
    if (name === 'status') return this.#answer(response)
    if (!FILES.includes(name) || this.#status.state !== 'ready') return response.writeHead(404).end()
    const file = join(this.#folder, name)
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': statSync(file).size,
    })
    createReadStream(file).pipe(response)
  }

  /** @param {import('node:http').ServerResponse} response */
  #answer(response) {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(this.#status))
  }
}
