// The machine boots by itself, runs, pauses, resumes, resets, powers off.
import { expect, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

test('boots to the prompt from private memory, without errors', async ({ page }) => {
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  const machine = await MachinePage.boot(page)
  await expect(machine.state).toHaveText('Running')
  await expect(machine.console).toContainText('(100 %)')
  await expect(page.getByTestId('slot-0')).toContainText('GUEST_MEMFD')
  expect(await machine.allocated('gmem-0')).toBeGreaterThan(0)
  expect(await machine.allocated('host-0')).toBe(0)
  expect(errors).toEqual([])
})

test('pauses and resumes', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('spin 600', 'spin')
  const mips = page.getByTestId('figure-mips')
  await expect.poll(async () => Number(await mips.innerText()), { timeout: 10_000 }).toBeGreaterThan(5)
  await page.getByTestId('run-pause').click()
  await expect(machine.state).toHaveText('Paused')
  await expect.poll(() => mips.innerText()).toBe('0')
  await page.getByTestId('run-pause').click()
  await expect(machine.state).toHaveText('Running')
  await expect.poll(async () => Number(await mips.innerText()), { timeout: 10_000 }).toBeGreaterThan(5)
})

test('resets to power-on', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('share +0 4', 'now shared')
  await expect(page.getByTestId('conversion')).toHaveCount(2)
  await page.getByTestId('reset').click()
  // The new machine has converted nothing but its RAM at set-up.
  await expect(page.getByTestId('conversion')).toHaveCount(1)
  await machine.type('mem', 'private')
  await expect(machine.state).toHaveText('Running')
})

test('says that the guest powered off, and resets from there', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.console.locator('textarea').focus()
  await page.keyboard.type('poweroff\n')
  await expect(machine.state).toHaveText('Powered off')
  await expect(machine.banner).toContainText('powered off')
  await machine.banner.getByRole('button', { name: 'Reset' }).click()
  await expect(machine.state).toHaveText('Running')
  await expect(machine.banner).toBeHidden()
})

test('runs two vCPUs', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('smp', /LR\/SC|counter/i)
  await expect(machine.console).not.toContainText('FAIL')
})

test('builds a new machine for another number of vCPUs', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await page.getByTestId('vcpus').selectOption('3')
  await expect(machine.console).toContainText('hart 0 of 3', { timeout: 20_000 })
  await expect(machine.state).toHaveText('Running')
})
