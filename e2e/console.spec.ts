// The serial line loses nothing, whichever way the bytes flow.
import { expect, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

let machine: MachinePage

test.beforeAll(async ({ browser }) => {
  machine = await MachinePage.shared(browser)
})

test.afterAll(() => machine.page.close())

/** FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
const fnv1a = (bytes: Uint8Array): number =>
  bytes.reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193) >>> 0, 0x811c9dc5)

/** What the Copy button hands to the clipboard: all that reached the terminal. */
const consoleText = async (): Promise<string> => {
  const { page } = machine
  await page.evaluate(() => {
    navigator.clipboard.writeText = async (text) => {
      document.body.dataset.copied = text
    }
  })
  await page.getByTestId('copy-console').click()
  return (await page.locator('body').getAttribute('data-copied')) ?? ''
}

test('a megabyte of serial output reaches the terminal whole', async () => {
  await machine.enter('flood 1024')
  await expect.poll(() => machine.screen(), { timeout: 50_000 }).toMatch(/flood: \d+ bytes/)
  const text = await consoleText()
  const [, size, sum] = /^flood: (\d+) bytes, fnv1a ([0-9a-f]{8})/m.exec(text) ?? []
  const lines = text.split('\n').filter((line) => /^[0-9a-f]{8} [0-9A-Za-z]{53}$/.test(line))
  const received = new TextEncoder().encode(lines.map((line) => `${line}\r\n`).join(''))
  expect(received.length).toBe(1 << 20)
  expect(Number(size)).toBe(1 << 20)
  expect(fnv1a(received).toString(16).padStart(8, '0')).toBe(sum)
})

test('pasted input arrives whole although the receive buffer is smaller', async () => {
  const commands = Array.from({ length: 60 }, (_, i) => `peek +${i} 4\n`).join('')
  await machine.console.locator('textarea').focus()
  await machine.console.locator('textarea').evaluate((textarea, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', text)
    textarea.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))
  }, commands)
  await expect.poll(() => machine.screen(), { timeout: 20_000 }).toMatch(/^0x8403b000 /m)
  const answers = (await consoleText()).match(/^0x840[0-9a-f]{5} /gm)
  expect(answers).toEqual(Array.from({ length: 60 }, (_, i) => `0x${(0x84000000 + i * 4096).toString(16)} `))
})
