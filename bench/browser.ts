// Chromium, and the two pages in it: the real one as `npm start` serves it, and the bare one.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from '@playwright/test'
import { build, preview } from 'vite'
import { CHROMIUM_INSTRUCTION, findChromium } from '../scripts/browsers.mjs'
import type { Bare } from './bare/bare.ts'
import type { LoopName } from './loops.ts'
import { readMonitor, root } from './node.ts'
import type { BatchTimes } from './trace-times.ts'

const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
}
/** Where the servers begin to look for a free port. */
const LIVE_PORT = 4287
const BARE_PORT = 4288
const VIEWPORT = { width: 1440, height: 900 }

interface Server {
  readonly url: string
  stop(): Promise<void>
}

declare const bare: Bare

/** The bare page with one machine at most. */
export class BarePage {
  readonly #page: Page

  constructor(page: Page) {
    this.#page = page
  }

  batches(kernel: Uint8Array, counts: { warm: number; batches: number }): Promise<BatchTimes[]> {
    return this.#page.evaluate(([bytes, n]) => bare.batches(bytes, n), [[...kernel], counts] as const)
  }

  bootMonitor(): Promise<void> {
    return this.#page.evaluate((bytes) => bare.boot(bytes), [...readMonitor()])
  }

  command(line: string): Promise<string> {
    return this.#page.evaluate((text) => bare.command(text), line)
  }

  loopMips(name: LoopName): Promise<number> {
    return this.#page.evaluate((loop) => bare.loopMips(loop), name)
  }

  close(): Promise<void> {
    return this.#page.context().close()
  }
}

/** One Chromium and both servers, started when first wanted. */
export class Chromium {
  #browser: Promise<Browser> | null = null
  #live: Promise<Server> | null = null
  #bare: Promise<Server> | null = null

  async version(): Promise<string | null> {
    return this.#browser ? (await this.#browser).version() : null
  }

  async openBare(): Promise<BarePage> {
    this.#bare ??= serveBare()
    const page = await this.#newPage()
    await page.goto((await this.#bare).url)
    await page.waitForFunction(() => 'bare' in globalThis)
    return new BarePage(page)
  }

  /** The real page, not loaded yet, and its address; `settings` are what the visitor chose last time. */
  async newLive(settings?: { vcpus: number; ramMiB: number }): Promise<{ page: Page; url: string }> {
    this.#live ??= serveLive()
    const page = await this.#newPage()
    if (settings)
      await page.addInitScript(
        (state) => {
          localStorage.setItem('gmemscope', JSON.stringify({ version: 1, state }))
        },
        { settings },
      )
    return { page, url: (await this.#live).url }
  }

  async close(): Promise<void> {
    await (await this.#browser)?.close()
    await (await this.#live)?.stop()
    await (await this.#bare)?.stop()
  }

  async #newPage(): Promise<Page> {
    this.#browser ??= launch()
    const context = await (await this.#browser).newContext({ viewport: VIEWPORT })
    return context.newPage()
  }
}

const launch = (): Promise<Browser> => {
  const executablePath = findChromium()
  if (!executablePath) throw new Error(CHROMIUM_INSTRUCTION)
  // WebGL2 on a computer without a graphics card.
  return chromium.launch({ executablePath, args: ['--disable-quic', '--enable-unsafe-swiftshader'] })
}

const serveLive = (): Promise<Server> =>
  new Promise((resolve, reject) => {
    const args = [join(root, 'scripts/start.mjs'), '--port', String(LIVE_PORT)]
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    const stop = (): Promise<void> =>
      new Promise((stopped) => {
        child.once('exit', () => stopped())
        child.kill()
      })
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('gmemscope is at'))
        resolve({ url: `http://localhost:${LIVE_PORT}/`, stop })
    })
    child.once('exit', (status) => reject(new Error(`the page's server ended with status ${status}`)))
  })

const serveBare = async (): Promise<Server> => {
  const outDir = join(root, '.cache/bench-page')
  const options = { configFile: false, root: join(root, 'bench/bare'), logLevel: 'error' } as const
  await build({
    ...options,
    publicDir: false,
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: true, target: 'chrome112' },
  })
  const server = await preview({
    ...options,
    build: { outDir },
    preview: { port: BARE_PORT, headers },
  })
  const [url] = server.resolvedUrls?.local ?? []
  if (!url) throw new Error('the bare page has no address')
  return { url, stop: () => server.close() }
}
