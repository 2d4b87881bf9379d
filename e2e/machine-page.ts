// The page as a person uses it: types on the console, selects addresses, reads the inspector.
import { type Browser, expect, type Locator, type Page } from '@playwright/test'

/** Where the guest monitor's `+N` addresses begin. */
export const SCRATCH = 0x84000000

export const scratch = (page: number): number => SCRATCH + page * 4096

export type HostAction =
  | 'read'
  | 'write'
  | 'to-shared'
  | 'to-private'
  | 'punch'
  | 'allocate'
  | 'pin'
  | 'unpin'
  | 'poison'
  | 'drain'
  | 'compact'

export interface HostOptions {
  readonly hypervisor?: 'kvm' | 'gunyah'
  readonly reclaim?: 'refuse' | 'grant'
  readonly version?: string
  readonly store?: 'xarray' | 'filemap'
  readonly large?: boolean
  readonly nodes?: 1 | 2
}

export class MachinePage {
  readonly page: Page
  readonly console: Locator

  constructor(page: Page) {
    this.page = page
    this.console = page.getByTestId('console')
  }

  /** A page for the tests of a whole file: what one of them leaves behind must not matter to the others. */
  static async shared(browser: Browser): Promise<MachinePage> {
    return MachinePage.boot(await browser.newPage())
  }

  /** Loads the page and waits for the guest's prompt. */
  static async boot(page: Page, url = '/'): Promise<MachinePage> {
    await page.goto(url)
    const machine = new MachinePage(page)
    await machine.expectPrompt()
    return machine
  }

  async expectPrompt(): Promise<void> {
    await expect(this.console).toContainText('gmem>', { timeout: 20_000 })
  }

  get state(): Locator {
    return this.page.getByTestId('state')
  }

  get banner(): Locator {
    return this.page.getByTestId('banner')
  }

  /** A value of the inspector. */
  field(name: string): Locator {
    return this.page.locator(`[data-field="${name}"]`)
  }

  /** Types a line at the guest. */
  async enter(line: string): Promise<void> {
    await this.console.locator('textarea').focus()
    await this.page.keyboard.type(line)
    await this.page.keyboard.press('Enter')
  }

  /** What the terminal shows. */
  async screen(): Promise<string> {
    const rows = await this.console.locator('.xterm-rows > div').allTextContents()
    return rows.map((row) => row.replaceAll('\u00a0', ' ').trimEnd()).join('\n')
  }

  /** Runs a command of the monitor and waits until `answer` stands on the console behind it. */
  async type(command: string, answer: RegExp): Promise<void> {
    await this.enter(command)
    const answered = async (): Promise<string> => {
      const screen = await this.screen()
      return screen.slice(Math.max(0, screen.lastIndexOf(`gmem> ${command}`)))
    }
    await expect.poll(answered, { timeout: 20_000 }).toMatch(answer)
  }

  /** Runs the command of the palette whose title contains `text`; an address goes there. */
  async command(text: string): Promise<void> {
    await this.page.keyboard.press('ControlOrMeta+k')
    await this.page.getByPlaceholder('A command').fill(text)
    await this.page.keyboard.press('Enter')
    await expect(this.page.getByPlaceholder('A command')).toBeHidden()
  }

  /** Selects a guest page. */
  async select(gpa: number): Promise<void> {
    await this.command(`0x${gpa.toString(16)}`)
    await expect(this.field('gfn')).toHaveText(`gfn 0x${Math.floor(gpa / 4096).toString(16)}`)
  }

  /** Has the host process do something to the selected page; returns the newest outcome. */
  async host(action: HostAction): Promise<Locator> {
    await this.page.getByTestId('tab-host').click()
    const outcomes = this.page.getByTestId('host-outcome')
    const before = await outcomes.count()
    await this.page.getByTestId(`host-${action}`).click()
    await expect(outcomes).toHaveCount(before + 1)
    return outcomes.first()
  }

  /** Builds a machine on another host. */
  async chooseHost({ hypervisor, reclaim, version, store, large, nodes }: HostOptions): Promise<void> {
    const { page } = this
    await page.getByTestId('host-settings').click()
    if (hypervisor) await page.getByTestId(`hypervisor-${hypervisor}`).click()
    if (reclaim) await page.getByTestId(`reclaim-${reclaim}`).click()
    if (version) await page.getByTestId('linux-version').selectOption(version)
    if (store) await page.getByTestId(`store-${store}`).click()
    if (large) await page.getByTestId('large-folios').check()
    if (nodes) await page.getByTestId(`nodes-${nodes}`).click()
    await page.getByTestId('host-apply').click()
    await expect(page.getByTestId('host-dialog')).toBeHidden()
    await this.expectPrompt()
  }

  /** Pages of a map that hold a folio. */
  async allocated(map: string): Promise<number> {
    const text = await this.page.getByTestId(`count-${map}`).innerText()
    return Number(text.split(' of ')[0].replaceAll(',', ''))
  }

  /** The colour in the middle of a map or the band where the selected page's cursor is. */
  async colourAtSelection(frame: Locator): Promise<string> {
    const cursor = await frame.locator('[data-kind="selected"]').boundingBox()
    if (!cursor) throw new Error('the selected page is not in sight')
    const x = Math.floor(cursor.x + cursor.width / 2)
    const y = Math.floor(cursor.y + cursor.height / 2)
    const pixel = await this.page.screenshot({ clip: { x, y, width: 1, height: 1 } })
    return pixel.toString('base64')
  }
}
