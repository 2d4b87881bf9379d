// Keyboard, tables, themes and layout.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

test('the maps are usable by keyboard, and have table twins', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.select(scratch(0))
  await page.getByTestId('map-gmem-0').focus()
  await page.keyboard.press('ArrowRight')
  await expect(machine.field('gfn')).toHaveText('gfn 0x84001')
  await page.getByTestId('band').focus()
  await page.keyboard.press('ArrowDown')
  await expect(machine.field('gfn')).toHaveText('gfn 0x84002')

  await page.keyboard.press('m')
  await expect(page.getByTestId('table-gmem-0')).toContainText('in stage 2')
  await expect(page.getByTestId('table-address-space')).toContainText('slot 0: private')
  await page.getByTestId('table-address-space').getByRole('button', { name: '0x80000000' }).click()
  await expect(machine.field('gfn')).toHaveText('gfn 0x80000')
})

test('F6 walks through the panes, out of the console too', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.console.locator('textarea').focus()
  const pane = () =>
    page.evaluate(() => document.activeElement?.closest<HTMLElement>('[data-pane]')?.dataset.pane)
  const seen: (string | undefined)[] = [await pane()]
  for (let i = 0; i < 4; i++) {
    await page.keyboard.press('F6')
    seen.push(await pane())
  }
  expect(seen).toEqual(['console', 'activity', 'address-space', 'folios', 'inspector'])
})

test('the theme follows the system until it is chosen, and is remembered', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light' })
  await MachinePage.boot(page)
  const html = page.locator('html')
  await expect(html).toHaveAttribute('data-theme', 'light')
  await page.emulateMedia({ colorScheme: 'dark' })
  await expect(html).toHaveAttribute('data-theme', 'dark')
  await page.getByTestId('theme').click()
  await page.getByTestId('theme').click()
  await expect(html).toHaveAttribute('data-theme', 'light')
  await page.reload()
  await expect(html).toHaveAttribute('data-theme', 'light')
})

for (const [width, height] of [
  [1440, 900],
  [1024, 700],
] as const) {
  test(`no control is clipped at ${width}x${height}`, async ({ page }) => {
    await page.setViewportSize({ width, height })
    await MachinePage.boot(page)
    const clipped = await page.evaluate(() =>
      [...document.querySelectorAll('.toolbar button, .toolbar select, .toolbar input, .pane-tools button')]
        .filter((node) => {
          const box = node.getBoundingClientRect()
          const pane = node.closest('.pane, .toolbar')?.getBoundingClientRect()
          return !pane || box.width === 0 || box.left < pane.left || box.right > pane.right + 0.5
        })
        .map((node) => node.textContent),
    )
    expect(clipped).toEqual([])
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width)
  })
}
