// What the host may not do to a guest's memory, and what happens to the guest when it cannot: pins, memory errors,
// pressure, LRU batches; and 2 MiB folios.
import { expect, test } from '@playwright/test'
import { MachinePage, scratch } from './machine-page.ts'

test('a pinned page cannot be converted in place until it is unpinned', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.chooseHost({ version: 'next-in-place' })
  await machine.type('share +0 4', /now shared/)
  await machine.type('poke +2 "pinned"', /6 bytes/)
  await machine.select(scratch(2))
  await expect(await machine.host('pin')).toContainText('pfn 0x')
  await expect(page.getByTestId('pinned-pages')).toContainText('0x84002000')
  await expect(machine.field('references')).toContainText('1 pin')
  // The folio map marks it, and its table twin says so.
  await machine.command('maps as tables')
  await expect(page.getByTestId('table-gmem-0')).toContainText('extra reference')
  await machine.command('maps as tables')

  await page.getByTestId('host-address').fill('0x84000000')
  await page.getByTestId('host-size').fill('16k')
  const refused = await machine.host('to-private')
  await expect(refused).toContainText('EAGAIN')
  await expect(refused).toContainText('Unpin it')
  await refused.getByTestId('failed-at').click()
  await expect(machine.field('gfn')).toHaveText('gfn 0x84002')
  await expect(machine.field('attribute')).toHaveText('shared')
  // The guest meets the same, and a person is told which page and what to do.
  await machine.enter('unshare +0 4')
  await expect(page.getByTestId('notices')).toContainText('EAGAIN')
  await expect(page.getByTestId('notices')).toContainText('0x84002000')

  await page.getByRole('button', { name: 'Follow the selection' }).click()
  await expect(await machine.host('unpin')).toContainText('returned 0')
  await expect(page.getByTestId('pinned-pages')).toBeHidden()
  await expect(machine.field('references')).toHaveText('2: page cache, 1 host mapping')
  await machine.type('unshare +0 4', /now private/)
  await expect(machine.field('attribute')).toHaveText('private')
})

test('a poisoned page stops whoever touches it, and nobody else', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('touch +0 4', /touched/)
  await machine.select(scratch(1))
  await expect(await machine.host('poison')).toContainText('pfn 0x')
  await expect(page.getByTestId('poisoned-pages')).toContainText('0x84001000')
  await expect(machine.field('folio-flags')).toContainText('hwpoison')
  await expect(machine.field('poisoned')).toBeVisible()
  await machine.type('peek +2 4', /84002000/)
  await machine.enter('peek +1 4')
  await expect(page.getByTestId('notices')).toContainText('EHWPOISON')
  await expect(machine.state).toHaveText('Running')
  // Punching the page brings another frame, and the vCPU goes on.
  await expect(await machine.host('punch')).toContainText('returned 0')
  await expect.poll(() => machine.screen()).toMatch(/0x84001000.*00 00 00 00/)
  await expect(page.getByTestId('poisoned-pages')).toBeHidden()
  await expect(machine.field('poisoned')).toBeHidden()
  // The bad frame itself stays out of use, in sight.
  await page.getByTestId('tab-frames').click()
  await machine.command('maps as tables')
  await expect(page.getByTestId('table-frames')).toContainText('poisoned')
})

test('under pressure the guest keeps its memory, and gets ENOMEM for more', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.type('poke +0 "still here"', /10 bytes/)
  await page.getByTestId('tab-memory').click()
  await expect(page.getByTestId('hog-frames')).toHaveText('0')
  const held = page.getByTestId('memory-kind').filter({ hasText: 'guest_memfd' })
  await expect(held).toContainText('on no LRU list')
  await page.getByTestId('pressure').fill('6')
  await expect(page.getByTestId('pressure-level')).toHaveText('nothing is left')
  await expect(page.getByTestId('free-frames')).toHaveText('0', { timeout: 20_000 })
  await expect(page.getByTestId('memory-kind').filter({ hasText: 'anonymous' })).toContainText(
    'no swap device',
  )
  // Its memory is another process's in the map of all frames.
  await page.getByTestId('tab-frames').click()
  await machine.command('maps as tables')
  await expect(page.getByTestId('table-frames')).toContainText('another process')
  await machine.command('maps as tables')

  await machine.type('peek +0 10', /73 74 69 6c 6c/)
  await machine.enter('touch +32 8')
  await expect(page.getByTestId('notices')).toContainText('out of memory')
  await expect(page.getByTestId('notices')).toContainText('ENOMEM')
  await expect(machine.state).toHaveText('Running')

  await page.getByTestId('release').click()
  await expect(page.getByTestId('hog-frames')).toHaveText('0')
  await expect.poll(() => machine.screen(), { timeout: 20_000 }).toMatch(/8 pages touched/)
})

test('filemap’s LRU batches refer to folios until they are drained; the xarray has none', async ({
  page,
}) => {
  const machine = await MachinePage.boot(page)
  await machine.type('touch +0 4', /touched/)
  await machine.select(scratch(3))
  await expect(machine.field('references')).toHaveText('1: page cache')
  await expect(machine.field('lru')).toBeHidden()

  await machine.chooseHost({ store: 'filemap' })
  await machine.type('touch +0 4', /touched/)
  await machine.select(scratch(3))
  await expect(machine.field('references')).toHaveText('2: page cache, LRU batch')
  await expect(machine.field('lru')).toHaveText('in a batch, not drained')
  await expect(await machine.host('drain')).toContainText(/[1-9]\d* references? given back/)
  await expect(machine.field('references')).toHaveText('1: page cache')
  await expect(machine.field('lru')).toHaveText('unevictable list')
  // Compaction tries each, and every one refuses.
  await expect(await machine.host('compact')).toContainText(/guest_memfd: 0 moved, [1-9]/)
})

test('a 2 MiB folio is one leaf and one outline, until a hole splits it', async ({ page }) => {
  const machine = await MachinePage.boot(page)
  await machine.chooseHost({ large: true })
  await expect(page.getByTestId('host-settings')).toContainText('2 MiB folios')
  await machine.type('touch +0 1', /touched/)
  await machine.select(scratch(0))
  await expect(machine.field('folio-size')).toContainText('2 MiB folio')
  await expect(machine.field('folio-size')).toContainText('project-own')
  await expect(machine.field('stage2')).toContainText('2 MiB leaf')
  await machine.command('maps as tables')
  await expect(page.getByTestId('table-gmem-0')).toContainText('in a 2 MiB folio')
  await machine.command('maps as tables')
  await machine.select(scratch(9))
  await expect(await machine.host('punch')).toContainText('returned 0')
  await machine.select(scratch(0))
  await machine.type('touch +0 1', /touched/)
  await expect(machine.field('folio-size')).toBeHidden()
  await expect(machine.field('stage2')).toContainText('4 KiB leaf')
})
