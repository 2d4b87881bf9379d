// The page in a stock Firefox: it is isolated, the guest boots, and the console takes commands. A headless Firefox
// on a computer without a display or graphics card may have no WebGL2: there the page must say so.
import { expect, test } from '@playwright/test'
import { findFirefox } from '../scripts/browsers.mjs'
import { BidiFirefox } from './bidi-firefox.ts'

const CONSOLE_TEXT = `document.querySelector('[data-testid="console"]')?.textContent ?? ''`

test('boots and answers on the console, or says that WebGL2 is missing', async ({ baseURL }) => {
  const executable = findFirefox()
  if (!executable || !baseURL) throw new Error('this project is there only with a Firefox and a server')
  await using firefox = await BidiFirefox.launch(executable)
  await firefox.goto(baseURL)
  expect(await firefox.evaluate('crossOriginIsolated')).toBe(true)

  const webgl2 = await firefox.evaluate(`document.createElement('canvas').getContext('webgl2') !== null`)
  if (!webgl2) {
    console.log('This Firefox has no WebGL2: only the message about it is tested.')
    await expect.poll(() => firefox.evaluate('document.body.innerText')).toContain('no WebGL2')
    return
  }

  const consoleText = () => firefox.evaluate(CONSOLE_TEXT)
  await expect.poll(consoleText, { timeout: 30_000 }).toContain('gmem>')

  await firefox.evaluate(`document.querySelector('[data-testid="console"] textarea').focus()`)
  await firefox.type('help\n')
  await expect.poll(consoleText, { timeout: 10_000 }).toContain('unshare')
})
