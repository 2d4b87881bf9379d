// The serial console's terminal: one xterm.js for the page's life.
//
// Output: the UART's transmit ring is drained once a frame into one write. While more than HIGH_WATER bytes wait
// inside xterm, nothing is drained: the ring fills, the UART stops taking bytes, and the guest waits. Nothing is lost.
// Input: what the UART's buffer did not take is kept and offered again.

import { FitAddon } from '@xterm/addon-fit'
import { type ITheme, Terminal } from '@xterm/xterm'

/** Bytes pending in xterm at which draining stops; xterm itself throws data away only above 50 MB. */
const HIGH_WATER = 1 << 20
/** Bytes of unsent input kept; more is refused, as a full line buffer would. */
const MAX_INPUT = 1 << 20
const RETRY_MS = 10
/** Lines kept: a megabyte of 64-byte lines. */
const SCROLLBACK = 20_000

export class SerialTerminal {
  readonly #terminal: Terminal
  readonly #fit = new FitAddon()
  readonly #send: (bytes: Uint8Array) => Promise<number>
  readonly #encoder = new TextEncoder()
  #pending = 0
  #input = new Uint8Array(0)
  #sending = false

  /** `isPageKey` tells the keys that are the page's own; `send` returns how many bytes were taken. */
  constructor(
    send: (bytes: Uint8Array) => Promise<number>,
    isPageKey: (event: KeyboardEvent) => boolean,
    fontFamily: string,
  ) {
    this.#send = send
    this.#terminal = new Terminal({
      fontFamily,
      fontSize: 13,
      lineHeight: 1.2,
      cursorBlink: false,
      scrollback: SCROLLBACK,
      convertEol: false,
    })
    this.#terminal.loadAddon(this.#fit)
    this.#terminal.attachCustomKeyEventHandler((event) => !isPageKey(event))
    this.#terminal.onData((text) => this.#queue(this.#encoder.encode(text)))
    this.#terminal.onBinary((text) => this.#queue(Uint8Array.from(text, (c) => c.charCodeAt(0))))
  }

  open(parent: HTMLElement): void {
    this.#terminal.open(parent)
    this.#terminal.textarea?.setAttribute('data-pane-focus', '')
  }

  fit(): void {
    this.#fit.fit()
  }

  set theme(theme: ITheme) {
    this.#terminal.options.theme = theme
  }

  set screenReader(on: boolean) {
    this.#terminal.options.screenReaderMode = on
  }

  /** A new machine starts with a clear screen and forgets what was typed at the old one. */
  clear(): void {
    this.#terminal.reset()
    this.#input = new Uint8Array(0)
  }

  /** All that the terminal still holds, a line a row. */
  get text(): string {
    const { active } = this.#terminal.buffer
    const lines: string[] = []
    for (let y = 0; y < active.length; y++) {
      const line = active.getLine(y)
      const text = line?.translateToString(true) ?? ''
      if (line?.isWrapped) lines[lines.length - 1] += text
      else lines.push(text)
    }
    return lines.join('\n').trimEnd()
  }

  /** Takes what the guest wrote, unless too much is still waiting to be shown. */
  pump(drain: () => Uint8Array): void {
    if (this.#pending > HIGH_WATER) return
    const bytes = drain()
    if (!bytes.length) return
    this.#pending += bytes.length
    this.#terminal.write(bytes, () => {
      this.#pending -= bytes.length
    })
  }

  dispose(): void {
    this.#terminal.dispose()
  }

  #queue(bytes: Uint8Array): void {
    if (this.#input.length + bytes.length > MAX_INPUT) return
    const joined = new Uint8Array(this.#input.length + bytes.length)
    joined.set(this.#input)
    joined.set(bytes, this.#input.length)
    this.#input = joined
    void this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#sending) return
    this.#sending = true
    try {
      while (this.#input.length) {
        const offered = this.#input
        const taken = await this.#send(offered)
        // Whoever cleared the input meanwhile has also dropped what was just offered.
        if (this.#input.length >= offered.length) this.#input = this.#input.slice(taken)
        if (taken < offered.length) await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    } catch {
      // The hypervisor is gone; the page says so, and what was typed at it goes with it.
      this.#input = new Uint8Array(0)
    } finally {
      this.#sending = false
    }
  }
}
