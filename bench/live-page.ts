// The real page as a visitor has it, with a stopwatch on its frames and on its first console text.

import type { Page } from '@playwright/test'

/** Longest wait for text on the console (ms). */
const PATIENCE_MS = 40_000

declare global {
  interface Window {
    benchFrames: number[]
    benchFirstText: number
    benchHover: boolean
  }
}

/** Installs the stopwatches; before the page is loaded. */
const instrument = (): void => {
  window.benchFrames = []
  window.benchFirstText = 0
  window.benchHover = false
  // All callbacks of one frame together: the page's frame scheduler, and the terminal's renderer.
  let frame = 0
  const request = window.requestAnimationFrame.bind(window)
  window.requestAnimationFrame = (callback) =>
    request((now) => {
      const start = performance.now()
      callback(now)
      const took = performance.now() - start
      if (now === frame) window.benchFrames[window.benchFrames.length - 1] += took
      else window.benchFrames.push(took)
      frame = now
    })
  const look = setInterval(() => {
    const text = document.querySelector('[data-testid="console"] .xterm-rows')?.textContent ?? ''
    if (text.trim() === '') return
    window.benchFirstText = performance.now()
    clearInterval(look)
  }, 1)
}

/** Moves a pointer over the first folio map a step a frame, so that the maps are drawn in every frame. */
const hover = (): void => {
  window.benchHover = true
  const map = document.querySelector<HTMLElement>('[data-testid^="map-"]')
  const target = map?.querySelector('canvas') ?? map
  if (!target) throw new Error('the page shows no map')
  let step = 0
  const move = (): void => {
    const box = target.getBoundingClientRect()
    step = (step + 7) % Math.max(1, Math.floor(box.width - 2))
    const at = { clientX: box.left + 1 + step, clientY: box.top + box.height / 2 }
    target.dispatchEvent(new PointerEvent('pointermove', { ...at, bubbles: true, pointerType: 'mouse' }))
    if (window.benchHover) setTimeout(move, 16)
  }
  move()
}

export class LivePage {
  readonly page: Page

  constructor(page: Page) {
    this.page = page
  }

  /** Loads the page and waits for the prompt. */
  static async boot({ page, url }: { page: Page; url: string }): Promise<LivePage> {
    await page.addInitScript(instrument)
    await page.goto(url)
    const live = new LivePage(page)
    await live.#untilText((text) => text.includes('gmem>'))
    return live
  }

  /** Milliseconds from the navigation's start to the first text on the console. */
  firstText(): Promise<number> {
    return this.page.evaluate(() => window.benchFirstText)
  }

  /** Runs a command of the monitor; what stands on the console from its last echo on, when `done` matches that. */
  async command(line: string, done: RegExp): Promise<string> {
    await this.page.locator('[data-testid="console"] textarea').focus()
    await this.page.keyboard.type(line)
    await this.page.keyboard.press('Enter')
    await this.page.waitForTimeout(100) // an earlier run of the same command must have left the last line
    const echo = `gmem> ${line}`
    const text = await this.#untilText((all) => done.test(all.slice(all.lastIndexOf(echo))))
    return text.slice(text.lastIndexOf(echo))
  }

  async hover(on: boolean): Promise<void> {
    if (on) await this.page.evaluate(hover)
    else
      await this.page.evaluate(() => {
        window.benchHover = false
      })
  }

  /** Milliseconds of script in each animation frame since the last call. */
  takeFrames(): Promise<number[]> {
    return this.page.evaluate(() => window.benchFrames.splice(0))
  }

  /** What the status bar says under that name. */
  async figure(name: string): Promise<number> {
    return Number.parseFloat((await this.page.getByTestId(`figure-${name}`).innerText()).replaceAll(',', ''))
  }

  close(): Promise<void> {
    return this.page.context().close()
  }

  async #untilText(found: (text: string) => boolean): Promise<string> {
    const rows = this.page.locator('[data-testid="console"] .xterm-rows')
    for (const end = performance.now() + PATIENCE_MS; ; ) {
      const text = (await rows.innerText()).replaceAll(/\u00a0/g, ' ')
      if (found(text)) return text
      if (performance.now() > end) throw new Error(`the console does not show what it should: ${text}`)
      await this.page.waitForTimeout(100)
    }
  }
}
