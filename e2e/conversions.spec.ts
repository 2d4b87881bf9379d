// A conversion changes band, cell, list and inspector; the host sees just what the kernel lets it see.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

let machine: MachinePage

// Each test has scratch pages of its own.
test.beforeAll(async ({ browser }) => {
  // Without the flash of a recent change, so that colours rest.
  machine = await MachinePage.boot(await browser.newPage({ reducedMotion: 'reduce' }))
})

test.afterAll(() => machine.page.close())

test('share and unshare change every view of the page', async () => {
  const { page } = machine
  await machine.type('touch +0 1', /touched/)
  await machine.select(scratch(0))
  await expect(machine.field('attribute')).toHaveText('private')
  await expect(machine.field('folio-type')).toHaveText('guest_memfd')
  const band = page.getByTestId('band')
  await band.focus()
  // Close enough for the page to be a block of the strip.
  for (let i = 0; i < 12; i++) await page.keyboard.press('+')
  const strip = () => machine.colourAtSelection(band)
  const cell = () => machine.colourAtSelection(page.getByTestId('map-gmem-0'))
  const hostCell = () => machine.colourAtSelection(page.getByTestId('map-host-0'))
  const before = { strip: await strip(), cell: await cell(), hostCell: await hostCell() }

  await machine.type('share +0 1', /now shared/)
  await machine.type('poke +0 "shared words"', /12 bytes/)
  await expect(machine.field('attribute')).toHaveText('shared')
  await expect(machine.field('declared')).toHaveText('shared')
  await expect(machine.field('folio-type')).toHaveText('anonymous memory')
  await expect(machine.field('host-bytes')).toContainText('shared w')
  await expect(machine.field('guest-bytes')).toContainText('shared w')
  const newest = page.getByTestId('conversion').first()
  await expect(newest).toContainText('guest')
  await expect(newest).toContainText('private → shared')
  await expect(newest).toHaveAttribute('data-errno', '0')
  await expect.poll(strip).not.toBe(before.strip)
  await expect.poll(cell).not.toBe(before.cell)
  await expect.poll(hostCell).not.toBe(before.hostCell)

  await machine.type('unshare +0 1', /now private/)
  await machine.type('touch +0 1', /touched/)
  await expect(machine.field('attribute')).toHaveText('private')
  await expect(page.getByTestId('conversion').first()).toContainText('shared → private')
  await expect.poll(strip).toBe(before.strip)
  await expect.poll(cell).toBe(before.cell)
})

test('the host reads a shared page and not a private one', async () => {
  await machine.type('share +16 1', /now shared/)
  await machine.type('poke +16 "for the host"', /12 bytes/)
  await machine.type('poke +17 "for nobody"', /10 bytes/)
  await machine.select(scratch(16))
  await expect(await machine.host('read')).toContainText('for the ')
  await machine.select(scratch(17))
  const refused = await machine.host('read')
  await expect(refused).toHaveAttribute('data-failed', 'true')
  await expect(refused).toContainText('ENODEV')
  await expect(machine.field('host-bytes')).toContainText('ENODEV')
  await expect(machine.field('readable-by')).not.toContainText('host')
})

test('a punched hole empties the cell, and the next touch brings zeroes', async () => {
  await machine.type('poke +8 "ABCDEFGH"', /8 bytes/)
  await machine.select(scratch(8))
  await expect(machine.field('guest-bytes')).toContainText('41 42 43 44')
  const before = await machine.allocated('gmem-0')
  await expect(await machine.host('punch')).toContainText('returned 0')
  await expect(machine.field('gmem')).toContainText('no folio')
  await expect.poll(() => machine.allocated('gmem-0')).toBe(before - 1)
  await machine.type('peek +8 8', /84008000.*00 00 00 00 00 00 00 00/)
  await expect(machine.field('gmem')).toContainText('pfn')
  await expect(machine.field('guest-bytes')).not.toContainText('41 42 43 44')
})

test('a conversion behind the guest’s back is a memory fault at its next touch', async () => {
  const { page } = machine
  await machine.type('touch +4 1', /touched/)
  await machine.select(scratch(4))
  await expect(await machine.host('to-shared')).toContainText('returned 0')
  await expect(machine.field('attribute')).toHaveText('shared')
  await expect(machine.field('declared')).toHaveText('private')
  // The strip's table twin says that the guest disagrees, until it finds out.
  await machine.command('maps as tables')
  const row = page.getByTestId('table-address-space').getByRole('row', { name: '0x84004000' })
  await expect(row).toContainText('shared, guest declares private')
  await machine.command('maps as tables')
  await machine.type('fault +4', /reading/)
  await expect(page.getByTestId('notices')).toContainText('Memory fault at 0x84004000')
  await expect(machine.state).toHaveText('Running')
})

test('the policy refuses: the guest is told and nothing changes', async () => {
  const { page } = machine
  await page.getByTestId('policy-refuse').click()
  await expect(page.getByTestId('policy-refuse')).toHaveAttribute('aria-pressed', 'true')
  await machine.select(scratch(20))
  await machine.type('share +20 1', /DENIED/i)
  await expect(machine.field('attribute')).toHaveText('private')
  await expect(page.getByTestId('notices')).toContainText('refused')
  await page.getByTestId('tab-conversions').click()
  const newest = page.getByTestId('conversion').first()
  await expect(newest).toContainText('refused: ')
  await expect(newest).not.toHaveAttribute('data-errno', '0')
  await page.getByTestId('policy-accept').click()
})

test('slow motion shows the kernel’s steps, and full speed ends it at once', async () => {
  const { page } = machine
  const steps = page.getByTestId('kernel-steps')
  await page.getByTestId('slow-motion').fill('4')
  await machine.enter('share +24 1')
  await expect(steps).toContainText('kvm_vm_set_mem_attributes', { timeout: 30_000 })
  await page.getByTestId('slow-motion').fill('0')
  await expect.poll(() => machine.screen()).toMatch(/84018000-0x84019000 now shared/)
  await expect(steps).toBeHidden()
})

test('a pause in slow motion says that it is under way, and holds', async () => {
  const { page } = machine
  await page.getByTestId('slow-motion').fill('2')
  await machine.enter('share +28 1')
  await expect(page.getByTestId('kernel-steps')).toContainText('vcpu0')
  await page.getByTestId('run-pause').click()
  await expect(machine.state).toHaveText('Pausing')
  await expect(machine.state).toHaveText('Paused', { timeout: 30_000 })
  await page.getByTestId('slow-motion').fill('0')
  await page.getByTestId('run-pause').click()
  await expect.poll(() => machine.screen()).toMatch(/8401c000-0x8401d000 now shared/)
})
