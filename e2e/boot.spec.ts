// The machine boots by itself, runs, pauses, resumes, resets, reboots, powers off.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

let machine: MachinePage
const errors: string[] = []

test.beforeAll(async ({ browser }) => {
  const page = await browser.newPage()
  page.on('pageerror', (error) => errors.push(error.message))
  machine = await MachinePage.boot(page)
})

test.afterAll(() => machine.page.close())

test('boots to the prompt from private memory, without errors', async () => {
  await expect(machine.state).toHaveText('Running')
  await expect(machine.console).toContainText('(100 %)')
  await expect(machine.page.getByTestId('slot-0')).toContainText('GUEST_MEMFD')
  await expect.poll(() => machine.allocated('gmem-0')).toBeGreaterThan(0)
  expect(await machine.allocated('host-0')).toBe(0)
  expect(errors).toEqual([])
})

test('pauses while the guest spins, and resumes', async () => {
  const { page } = machine
  const mips = async (): Promise<number> => Number(await page.getByTestId('figure-mips').innerText())
  await machine.enter('spin 600')
  await expect.poll(mips, { timeout: 20_000 }).toBeGreaterThan(5)
  await page.getByTestId('run-pause').click()
  await expect(machine.state).toHaveText('Paused')
  await expect.poll(mips).toBe(0)
  await page.getByTestId('run-pause').click()
  await expect(machine.state).toHaveText('Running')
  await expect.poll(mips, { timeout: 20_000 }).toBeGreaterThan(5)
  await machine.console.locator('textarea').focus()
  await page.keyboard.press('Control+c')
  await expect.poll(() => machine.screen()).toMatch(/stopped after/)
})

test('two vCPUs run in parallel and lose no update', async () => {
  await machine.type('smp', /LR\/SC|counter/i)
  expect(await machine.screen()).not.toContain('FAIL')
})

test('resets to power-on', async () => {
  const { page } = machine
  await machine.type('share +0 4', /now shared/)
  await expect(page.getByTestId('conversion')).toHaveCount(2)
  await page.getByTestId('reset').click()
  // The new machine has converted nothing but its RAM at set-up.
  await expect(page.getByTestId('conversion')).toHaveCount(1)
  // Its first prompt: a guest that starts drops what was typed before.
  await machine.expectPrompt()
  await machine.select(scratch(0))
  await expect(machine.field('attribute')).toHaveText('private')
  await machine.type('mem', /32768 pages +private/)
  await expect(machine.state).toHaveText('Running')
})

test('a reboot is a power-on, too', async () => {
  await machine.type('share +0 4', /now shared/)
  await machine.type('reboot', /Type help[\s\S]*gmem>/)
  await expect(machine.page.getByTestId('conversion')).toHaveCount(1)
  await machine.type('touch +0 1', /1 pages touched/)
  await expect(machine.field('attribute')).toHaveText('private')
  await expect(machine.state).toHaveText('Running')
})

test('says that the guest powered off, and resets from there', async () => {
  await machine.enter('poweroff')
  await expect(machine.state).toHaveText('Powered off')
  await expect(machine.banner).toContainText('powered off')
  await machine.banner.getByRole('button', { name: 'Reset' }).click()
  await expect(machine.state).toHaveText('Running')
  await expect(machine.banner).toBeHidden()
})

test('says that the guest reported a failure', async () => {
  await machine.expectPrompt()
  await machine.enter('fail')
  await expect(machine.state).toHaveText('Failed')
  await expect(machine.banner).toContainText('SRST reason 1')
})

test('builds a new machine for another number of vCPUs', async () => {
  await machine.page.getByTestId('vcpus').selectOption('3')
  await expect(machine.console).toContainText('hart 0 of 3', { timeout: 20_000 })
  await expect(machine.state).toHaveText('Running')
  expect(errors).toEqual([])
})
