// What the page asks of its host: cross-origin isolation for every file, and honest 404s (docs/SPEC.md, H1 and H2).
import { expect, test } from '@playwright/test'

const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}

test('H1: document, scripts, workers and guests come with the isolation headers', async ({
  page,
  baseURL,
}) => {
  const seen: string[] = []
  const bare: string[] = []
  page.on('response', (response) => {
    if (!response.url().startsWith(baseURL ?? '')) return
    seen.push(new URL(response.url()).pathname)
    for (const [name, value] of Object.entries(ISOLATION))
      if (response.headers()[name] !== value) bare.push(`${response.url()}: ${name}`)
  })
  await page.goto('/')
  await expect.poll(() => seen.some((path) => /hypervisor.*\.js$/.test(path))).toBe(true)
  await expect.poll(() => seen).toContain('/guests/monitor.elf')
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
  expect(bare).toEqual([])
})

test('H2: a file that is not there is a 404', async ({ request }) => {
  expect((await request.get('/guests/absent.elf')).status()).toBe(404)
})
