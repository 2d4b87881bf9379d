// The serial line loses nothing, whichever way the bytes flow.
import { expect, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

test('a megabyte of serial output arrives whole', async ({ page }) => {
  test.slow()
  const machine = await MachinePage.boot(page)
  // The guest's own sum of all that it sent; the last of 16,384 numbered lines stands before it.
  await machine.type('flood 1024', /00003fff .*flood: 1048576 bytes, fnv1a 63832223/)
  await machine.type('mem', 'private')
})

test('pasted input arrives whole although the receive buffer is smaller', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.console.locator('textarea').focus()
  const commands = Array.from({ length: 60 }, (_, i) => `peek +${i} 4\n`).join('')
  await machine.console.locator('textarea').evaluate((textarea, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', text)
    textarea.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))
  }, commands)
  await expect(machine.console).toContainText(/8403b000/, { timeout: 20_000 })
})
