// Debian Linux as the page offers it: fetched by its server, or the person's own files. The guests here are small ones
// in Linux's place: what is tested is the way to them.
import { expect, type Page, test } from '@playwright/test'
import { MachinePage } from './machine-page.ts'

const cpio = Buffer.from(`070701${'0'.repeat(104)}`)

const openDialog = async (page: Page): Promise<void> => {
  await page.getByTestId('guest-settings').click()
  await page.getByTestId('guest-linux').click()
}

/** The page's server answers with `status()`, and has small files where Linux's would be. */
const serveLinux = async (page: Page, status: () => object): Promise<void> => {
  await page.route('**/linux/status', (route) => route.fulfill({ json: status() }))
  await page.route('**/linux/Image', async (route) => {
    const url = new URL('/guests/monitor.elf', route.request().url()).href
    await route.fulfill({ response: await route.fetch({ url }) })
  })
  await page.route('**/linux/initramfs.cpio.gz', (route) => route.fulfill({ body: cpio }))
}

test('P11 what the server fetches has a progress bar, and boots with the settings asked for', async ({
  page,
}) => {
  const fetching = { state: 'fetching', step: 'Fetching kernel and busybox', fraction: 0.25 }
  const ready = { state: 'ready', release: '6.12.1-riscv64', kernelBytes: 31_000_000, initrdBytes: 1_200_000 }
  let done = false
  await serveLinux(page, () => (done ? ready : fetching))
  const machine = await MachinePage.boot(page)
  await openDialog(page)
  const state = page.getByTestId('linux-state')
  await expect(state).toContainText('Fetching kernel and busybox (25 %)')
  await expect(state.locator('progress')).toHaveAttribute('value', '0.25')
  await expect(page.getByTestId('guest-boot')).toBeDisabled()
  done = true
  await expect(state).toContainText('Linux 6.12.1-riscv64')
  await page.getByTestId('linux-vcpus-4').click()
  await page.getByTestId('linux-ram').selectOption('512')
  await page.getByTestId('linux-memory-shared').click()
  await page.getByTestId('guest-boot').click()
  await expect(page.getByTestId('guest-dialog')).toBeHidden()
  await expect(page.getByTestId('guest-settings')).toHaveText('Debian Linux')
  await expect(machine.console).toContainText('nothing here is confidential', { timeout: 20_000 })
  await machine.type('mem', /initrd/)
  await expect(page.getByTestId('vcpus')).toHaveValue('4')
  await expect(page.getByTestId('ram')).toHaveValue('512')
  // The choice is remembered, the guest is not: the page starts with the monitor.
  await page.reload()
  await machine.expectPrompt()
  await openDialog(page)
  await expect(page.getByTestId('linux-memory-shared')).toHaveAttribute('aria-pressed', 'true')
})

test('P12 a server without Linux says why; files of one’s own are checked, kept, booted and forgotten', async ({
  page,
  request,
}) => {
  const machine = await MachinePage.boot(page)
  await openDialog(page)
  await expect(page.getByTestId('linux-state')).toContainText('--no-linux')
  await expect(page.getByTestId('linux-retry')).toBeVisible()
  await expect(page.getByTestId('guest-boot')).toBeDisabled()

  const give = (role: string, name: string, buffer: Buffer): Promise<void> =>
    page.getByTestId(`file-${role}`).setInputFiles({ name, mimeType: 'application/octet-stream', buffer })
  await give('kernel', 'vmlinuz.gz', Buffer.from([0x1f, 0x8b, 8, 0]))
  await expect(page.getByTestId('file-complaint')).toContainText('vmlinuz.gz')
  await expect(page.getByTestId('file-complaint')).toContainText('gzip data, uncompress it first')
  await give('initrd', 'notes.txt', Buffer.from('some words'))
  await expect(page.getByTestId('file-complaint')).toContainText('no initial RAM disk')
  await expect(page.getByTestId('guest-boot')).toBeDisabled()

  await give('kernel', 'my-kernel', await (await request.get('/guests/monitor.elf')).body())
  await give('initrd', 'my-initrd', cpio)
  await expect(page.getByTestId('file-complaint')).toBeHidden()
  await expect(page.getByTestId('slot-kernel')).toContainText('my-kernel ELF')
  await expect(page.getByTestId('slot-kernel')).not.toContainText('until the page closes')

  await page.reload()
  await machine.expectPrompt()
  await openDialog(page)
  await expect(page.getByTestId('slot-kernel')).toContainText('my-kernel ELF')
  await expect(page.getByTestId('slot-initrd')).toContainText('my-initrd cpio archive')
  await page.getByTestId('guest-boot').click()
  await expect(page.getByTestId('guest-settings')).toHaveText('my-kernel')
  await expect(machine.console).toContainText('(100 %)', { timeout: 20_000 })
  await machine.type('mem', /initrd/)

  await page.getByTestId('guest-settings').click()
  await page.getByTestId('forget-files').click()
  await expect(page.getByTestId('slot-kernel')).toContainText('none given')
  await page.reload()
  await machine.expectPrompt()
  await openDialog(page)
  await expect(page.getByTestId('slot-kernel')).toContainText('none given')
})

test('P12 dropped files find their places', async ({ page, request }) => {
  await MachinePage.boot(page)
  await openDialog(page)
  const kernel = [...(await (await request.get('/guests/litmus.elf')).body())]
  const transfer = await page.evaluateHandle(
    ([kernelBytes, diskBytes]) => {
      const data = new DataTransfer()
      data.items.add(new File([Uint8Array.from(diskBytes)], 'disk'))
      data.items.add(new File([Uint8Array.from(kernelBytes)], 'kernel'))
      return data
    },
    [kernel, [...cpio]],
  )
  await page.getByTestId('linux-files').dispatchEvent('drop', { dataTransfer: transfer })
  await expect(page.getByTestId('slot-initrd')).toContainText('disk')
  await expect(page.getByTestId('slot-kernel')).toContainText('kernel ELF')
})

test('P12 a static host, which fetches nothing, asks for files', async ({ page }) => {
  await page.route('**/linux/status', (route) => route.fulfill({ status: 404 }))
  await MachinePage.boot(page)
  await openDialog(page)
  await expect(page.getByTestId('linux-state')).toContainText('npm start')
  await expect(page.getByTestId('linux-retry')).toBeHidden()
  await page.getByTestId('guest-litmus').click()
  await page.getByTestId('guest-boot').click()
  await expect(page.getByTestId('console')).toContainText('LR/SC', { timeout: 30_000 })
})
