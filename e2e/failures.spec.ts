// What goes wrong is said, with cause and remedy, and mended without a reload.
import { expect, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

test('a dead hypervisor worker freezes the maps; Restart brings a new machine', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await page.evaluate(() => {
    document.body.dataset.loadedOnce = 'yes'
  })
  await machine.command('terminate the hypervisor')
  await expect(machine.state).toHaveText('Dead', { timeout: 10_000 })
  await expect(machine.banner).toContainText('heartbeat')
  await expect(page.getByTestId('workspace')).toHaveAttribute('data-frozen', 'true')
  // What was there stays in sight.
  await expect(page.getByTestId('slot-0')).toBeVisible()
  await page.getByTestId('restart').click()
  await expect(machine.state).toHaveText('Running', { timeout: 20_000 })
  await machine.expectPrompt()
  await expect(page.locator('body[data-loaded-once="yes"]')).toBeVisible()
})

test('a file that is no guest is refused with the reason', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await page.getByTestId('guest-picker').setInputFiles({
    name: 'notes.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from('not a guest at all, only some words that fill a few dozen bytes of a file'),
  })
  await expect(machine.state).toHaveText('No machine')
  await expect(machine.banner).toContainText(/ELF|Image/)
  await page.getByTestId('built-in-guest').click()
  await expect(machine.state).toHaveText('Running', { timeout: 20_000 })
})

test('host memory that the browser refuses: the reason, and a smaller machine as a button', async ({
  page,
}) => {
  // This browser's limit, put into the worker before its own code: 1 GiB of shared memory.
  await page.route(/hypervisor.*\.js$/, async (route) => {
    const response = await route.fetch()
    const limit = `{
      const Memory = WebAssembly.Memory
      WebAssembly.Memory = class extends Memory {
        constructor(shape) {
          if (shape.maximum > 16384) throw new RangeError('could not allocate memory')
          super(shape)
        }
      }
    };`
    await route.fulfill({ response, body: limit + (await response.text()) })
  })
  const machine = await MachinePage.boot(page)
  await page.getByTestId('ram').selectOption('512')
  await expect(machine.state).toHaveText('No machine')
  await expect(machine.banner).toContainText(/memory/)
  await page.getByTestId('smaller').click()
  await expect(machine.state).toHaveText('Running', { timeout: 20_000 })
  await expect(page.getByTestId('ram')).toHaveValue('256')
})

test('boots another guest from a file', async ({ page, request }) => {
  const machine = await MachinePage.boot(page)
  const litmus = await (await request.get('/guests/litmus.elf')).body()
  await page.getByTestId('guest-picker').setInputFiles({
    name: 'litmus.elf',
    mimeType: 'application/octet-stream',
    buffer: litmus,
  })
  await expect(machine.console).toContainText(/PASS|MP/, { timeout: 30_000 })
})

test('without the isolation headers the page says which two are missing', async ({ page }) => {
  await page.route('**/', async (route) => {
    const response = await route.fetch()
    const headers = { ...response.headers() }
    delete headers['cross-origin-opener-policy']
    delete headers['cross-origin-embedder-policy']
    await route.fulfill({ response, headers })
  })
  await page.goto('/')
  await expect(page.getByTestId('not-isolated')).toContainText('Cross-Origin-Opener-Policy: same-origin')
  await expect(page.getByTestId('not-isolated')).toContainText('Cross-Origin-Embedder-Policy: require-corp')
})

test('without WebGL2 the page says so', async ({ page }) => {
  await page.addInitScript(() => {
    const original = HTMLCanvasElement.prototype.getContext
    HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, ...args: unknown[]) {
      return args[0] === 'webgl2' ? null : Reflect.apply(original, this, args)
    } as typeof original
  })
  await page.goto('/')
  await expect(page.getByTestId('no-webgl')).toContainText('WebGL2')
})
