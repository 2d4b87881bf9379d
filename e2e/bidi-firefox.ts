// A stock Firefox driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), as far as a smoke test goes.
// Playwright's own Firefox support wants either its patched build or BiDi commands that the ESR line lacks.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Longest wait for Firefox to open its BiDi port, in milliseconds. */
const START_MS = 30_000

/** No pages, updates or reports of its own. */
const PREFERENCES = {
  'browser.startup.page': 0,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'app.update.enabled': false,
  'app.normandy.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'webgl.force-enabled': true,
}

interface Answer {
  readonly id?: number
  readonly type: 'success' | 'error' | 'event'
  readonly result?: unknown
  readonly error?: string
  readonly message?: string
}

interface Evaluation {
  readonly type: 'success' | 'exception'
  readonly result?: { readonly value?: unknown }
  readonly exceptionDetails?: { readonly text: string }
}

/** One headless Firefox with one tab and a profile of its own. */
export class BidiFirefox implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #socket: WebSocket
  readonly #waiting = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >()
  #lastId = 0
  #tab = ''

  private constructor(process: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process
    this.#profile = profile
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)))
    socket.onclose = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Firefox closed the connection'))
      this.#waiting.clear()
    }
  }

  /** Starts the Firefox at `executable`; throws when it does not open a BiDi port or refuses the session. */
  static async launch(executable: string): Promise<BidiFirefox> {
    const profile = mkdtempSync(join(tmpdir(), 'gmemscope-firefox-'))
    const lines = Object.entries(PREFERENCES).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
    )
    writeFileSync(join(profile, 'user.js'), lines.join('\n'))
    const args = [
      '--headless',
      '--no-remote',
      '--profile',
      profile,
      '--remote-debugging-port',
      '0',
      'about:blank',
    ]
    const process = spawn(executable, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const socket = new WebSocket(`${await bidiAddress(process)}/session`)
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = () => reject(new Error('Firefox refused the BiDi connection'))
    })
    const firefox = new BidiFirefox(process, profile, socket)
    await firefox.#send('session.new', { capabilities: {} })
    const { contexts } = (await firefox.#send('browsingContext.getTree', {})) as {
      contexts: { context: string }[]
    }
    firefox.#tab = contexts[0].context
    return firefox
  }

  /** Loads `url` and waits for its load event. */
  async goto(url: string): Promise<void> {
    await this.#send('browsingContext.navigate', { context: this.#tab, url, wait: 'complete' })
  }

  /** The value of a JavaScript expression in the page: a string, number, boolean, null or undefined. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = (await this.#send('script.evaluate', {
      expression,
      target: { context: this.#tab },
      awaitPromise: true,
    })) as Evaluation
    if (answer.type === 'exception') throw new Error(answer.exceptionDetails?.text)
    return answer.result?.value
  }

  /** Types `text` on the keyboard; '\n' is the Enter key. */
  async type(text: string): Promise<void> {
    const keys = [...text].map((character) => (character === '\n' ? '\uE007' : character))
    const actions = keys.flatMap((value) => [
      { type: 'keyDown', value },
      { type: 'keyUp', value },
    ])
    await this.#send('input.performActions', {
      context: this.#tab,
      actions: [{ type: 'key', id: 'keyboard', actions }],
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#socket.close()
    this.#process.kill()
    await ended
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }

  #send(method: string, params: object): Promise<unknown> {
    const id = ++this.#lastId
    this.#socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #receive({ id, type, result, error, message }: Answer): void {
    if (id === undefined) return
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (type === 'success') waiting?.resolve(result)
    else waiting?.reject(new Error(`${error}: ${message}`))
  }
}

/** The WebSocket address that Firefox prints once it listens. */
const bidiAddress = (process: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('Firefox opened no BiDi port')), START_MS)
    process.once('error', reject)
    process.once('exit', (code) => reject(new Error(`Firefox ended with status ${code}`)))
    if (!process.stderr) throw new TypeError('stderr is a pipe')
    createInterface(process.stderr).on('line', (line) => {
      const address = /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1]
      if (!address) return
      clearTimeout(timer)
      resolve(address)
    })
  })
