// The same guest under Gunyah: lent and shared by parcel, and what the host's own stage 2 keeps from the host.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

test('what the guest shares is a parcel; what it is lent leaves the host’s stage 2', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.chooseHost({ hypervisor: 'gunyah' })
  await machine.type('share +0 4', /now shared/)
  await page.getByTestId('tab-parcels').click()
  const parcel = page.getByTestId('parcel')
  await expect(parcel).toHaveCount(1)
  await expect(parcel).toContainText('share')
  await expect(parcel).toContainText('0x84000000 4 pages')

  await machine.select(scratch(0))
  await expect(machine.field('attribute')).toContainText('shared')
  await machine.type('poke +0 "Hello"', /5 bytes/)
  await machine.select(scratch(1))
  await machine.select(scratch(0))
  await expect(machine.field('host-bytes')).toContainText('48 65 6c 6c 6f')
  await expect(machine.field('physical-bytes')).toContainText('48 65 6c 6c 6f')
  await expect(machine.field('host-reaches')).toHaveText('The host reaches the frame.')

  await machine.type('poke +8 "secret"', /6 bytes/)
  await machine.select(scratch(8))
  await expect(machine.field('attribute')).toContainText('private')
  await expect(machine.field('guest-bytes')).toContainText('73 65 63 72 65 74')
  await expect(machine.field('host-bytes')).toContainText('EACCES')
  await expect(machine.field('physical-bytes')).toContainText('SIGBUS (BUS_OBJERR)')
  await expect(machine.field('host-reaches')).toContainText('does not reach')
  await expect(machine.field('references')).toHaveText('2: page cache, the guest’s own')
  await expect(await machine.host('to-shared')).toContainText('EOPNOTSUPP')
  await expect(await machine.host('punch')).toContainText('EACCES')

  await machine.type('unshare +0 4', /now private/)
  await page.getByTestId('tab-parcels').click()
  await expect(parcel).toHaveCount(0)
})

test('where Gunyah grants a reclaim the host finds zeroes', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.chooseHost({ hypervisor: 'gunyah', reclaim: 'grant' })
  await machine.type('poke +8 "secret"', /6 bytes/)
  await machine.select(scratch(8))
  await expect(machine.field('host-bytes')).toContainText('would take the page')
  await expect(machine.field('guest-bytes')).toContainText('73 65 63 72 65 74')
  await expect(await machine.host('read')).toContainText('00 00 00 00 00 00')
  await expect(machine.field('physical-bytes')).toContainText('00 00 00 00 00 00')
  await expect(machine.field('host-reaches')).toHaveText('The host reaches the frame.')
})

test('under KVM the host reaches the frame of a private page by its address', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('poke +8 "secret"', /6 bytes/)
  await machine.select(scratch(8))
  await expect(machine.field('host-bytes')).toContainText('ENODEV')
  await expect(machine.field('physical-bytes')).toContainText('73 65 63 72 65 74')
  await expect(machine.field('host-stage2')).toContainText('KVM runs in the host’s kernel')
  await expect(page.getByTestId('tab-parcels')).toHaveCount(0)
  await machine.command('Show memory parcels')
  await expect(page.getByTestId('parcels')).toContainText('KVM has no memory parcels')
})
