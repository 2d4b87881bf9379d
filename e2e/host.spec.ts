// The machine's host: its Linux, folio store, large folios and NUMA nodes are chosen, kept, and shown.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

test('the version table says what differs, and a column chooses the version', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.command('what differs between linux')
  const dialog = page.getByTestId('host-dialog')
  await expect(dialog).toBeVisible()
  await expect(page.getByTestId('version-table')).toBeFocused()
  await expect(dialog.getByRole('columnheader')).toHaveCount(8)
  await expect(dialog.getByRole('button', { name: 'Linux 7.2, running' })).toHaveAttribute(
    'aria-pressed',
    'true',
  )
  const preFault = dialog.getByRole('row', { name: 'KVM_PRE_FAULT_MEMORY' })
  await expect(preFault.locator('td[data-chosen="true"]')).toHaveText('maps ahead of the guest')
  await expect(preFault.locator('td[data-changed="true"]')).toHaveText('maps ahead of the guest')

  await page.getByTestId('version-6.8').press('Enter')
  await expect(page.getByTestId('linux-version')).toHaveValue('6.8')
  await expect(preFault.locator('td[data-chosen="true"]')).toHaveText('unknown ioctl')
  await expect(preFault).toHaveAttribute('data-differs', 'true')
  await expect(page.getByTestId('host-consequence')).toContainText('A new machine boots on Linux 6.8')

  // Escape changes nothing, and hotkeys are the dialog's own meanwhile.
  await page.keyboard.press('m')
  await page.keyboard.press('Escape')
  await expect(dialog).toBeHidden()
  await expect(page.getByTestId('as-tables')).toHaveAttribute('aria-pressed', 'false')
  await expect(page.getByTestId('host-name')).toHaveText('Linux 7.2 · xarray')
  await expect(machine.state).toHaveText('Running')
})

test('another host is another machine, and is remembered', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await page.keyboard.press('F6')
  await page.keyboard.press('h')
  await expect(page.getByTestId('hypervisor-kvm')).toBeFocused()
  await expect(page.getByTestId('host-apply')).toBeDisabled()
  await page.getByTestId('linux-version').selectOption('6.18')
  await page.getByTestId('store-filemap').click()
  await page.getByTestId('nodes-2').click()
  await page.getByTestId('host-apply').click()
  await expect(page.getByTestId('host-dialog')).toBeHidden()
  await expect(page.getByTestId('host-settings')).toHaveText('Linux 6.18 · filemap · 2 nodes')
  await machine.expectPrompt()
  await machine.type('touch +0 1', /touched/)
  await machine.select(scratch(0))
  await expect(machine.page.getByText('filemap: the xarray of i_pages')).toBeVisible()
  await expect(machine.field('lru')).toHaveText(/batch|list/)
  await expect(machine.field('node')).toHaveText(/^[01]$/)

  await page.reload()
  await machine.expectPrompt()
  await expect(page.getByTestId('host-name')).toHaveText('Linux 6.18 · filemap · 2 nodes')
})

test('converted in place: one storage, kept contents, the attribute is the guest_memfd’s', async ({
  page,
}) => {
  const machine = await MachinePage.boot(page)
  await machine.chooseHost({ version: 'next-in-place' })
  await expect(page.getByTestId('map-host-0')).toHaveCount(0)
  await machine.type('poke +0 "kept in place"', /13 bytes/)
  await machine.select(scratch(0))
  await expect(machine.field('attribute')).toHaveText('private')
  await expect(machine.field('attribute-owner')).toHaveText('the guest_memfd')
  await expect(machine.field('host-bytes')).toContainText('SIGBUS')
  const pfn = await machine.field('pfn').innerText()
  await machine.type('share +0 1', /now shared/)
  await expect(machine.field('attribute')).toHaveText('shared')
  await expect(machine.field('host-bytes')).toContainText('kept in')
  await expect(machine.field('pfn')).toHaveText(pfn)
})

for (const [version, store] of [
  ['6.8', 'xarray'],
  ['6.11', 'filemap'],
  ['6.19', 'xarray'],
  ['next', 'filemap'],
] as const) {
  test(`a guest boots on ${version} with ${store} and converts`, async ({ page }) => {
    const machine = await MachinePage.boot(page)
    await machine.chooseHost({ version, store })
    await machine.type('share +0 2', /now shared/)
    await machine.type('unshare +0 2', /now private/)
    await expect(machine.state).toHaveText('Running')
  })
}

test('the xarray is drawn: a strip a node, down to the folio', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('touch +67 1', /touched/)
  await machine.select(scratch(67))
  const xarray = machine.field('xarray')
  await expect(xarray).toContainText('Index 0x4043 = 4 × 64² + 1 × 64 + 3')
  const nodes = page.getByTestId('xarray-node')
  await expect(nodes).toHaveCount(3)
  await expect(nodes.nth(2).locator('[data-taken="true"]')).toHaveAttribute('data-kind', 'entry')
  await expect(nodes.nth(0).locator('[data-taken="true"]')).toHaveAttribute('data-kind', 'node')
  await expect(page.getByTestId('xarray-end')).toContainText('folio, pfn')
  await machine.select(scratch(68))
  await expect(page.getByTestId('xarray-end')).toHaveText('empty slot: no folio')
})

test('nothing of the host dialog is clipped at 1024x700', async ({ page }) => {
  await page.setViewportSize({ width: 1024, height: 700 })
  await MachinePage.boot(page)
  await page.getByTestId('host-settings').click()
  const clipped = await page.getByTestId('host-dialog').evaluate((dialog) => {
    const box = dialog.getBoundingClientRect()
    return [...dialog.querySelectorAll('button, select, input, td, th')]
      .filter((node) => {
        const { left, right, width } = node.getBoundingClientRect()
        return width === 0 || left < box.left || right > box.right || node.scrollWidth > node.clientWidth + 1
      })
      .map((node) => node.textContent)
  })
  expect(clipped).toEqual([])
})
