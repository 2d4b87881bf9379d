// The serial line loses nothing, whichever way the bytes flow.
import { expect, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

test('a megabyte of serial output arrives whole', async ({ page }) => {
  test.slow()
  const machine = await MachinePage.boot(page)
  await machine.type('flood 1024', /checksum|crc|sum/i)
  await machine.type('mem', 'private')
})

test('pasted input arrives whole although the receive buffer is smaller', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.console.locator('textarea').focus()
  const commands = Array.from({ length: 60 }, (_, i) => `peek +${i} 4`)
  await page.keyboard.insertText(`${commands.join('\r')}\r`)
  await expect(machine.console).toContainText(/8403b000/, { timeout: 20_000 })
})
