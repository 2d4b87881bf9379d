// What a guest writes to its disk outlives the machine's worker, by the image's contents, and is one machine's at a time.
import { fileURLToPath } from 'node:url'
import { expect, type Page, test } from '@playwright/test'
import { build } from 'vite'
import type { DiskRequest } from './disk.worker.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The worker as one script. */
const workerScript = async (): Promise<string> => {
  const result = await build({
    configFile: false,
    root,
    tsconfig: `${root}tsconfig.base.json`,
    logLevel: 'error',
    build: {
      lib: { entry: `${root}e2e/disk.worker.ts`, formats: ['es'], fileName: 'disk' },
      write: false,
      target: 'es2023',
    },
  })
  const [bundle] = Array.isArray(result) ? result : []
  if (!bundle) throw new Error('expected one bundle')
  return bundle.output[0].code
}

let script: string

test.beforeAll(async () => {
  script = await workerScript()
})

interface Answer {
  readonly bytes?: number[]
  readonly error?: string
}

/** Has a new worker serve a request; it ends afterwards unless it `stays`. */
const ask = (page: Page, request: DiskRequest, stays = false): Promise<Answer> =>
  page.evaluate(
    async ({ script, request, stays }) => {
      const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }))
      const worker = new Worker(url, { type: 'module' })
      const answer = await new Promise<Answer>((resolve) => {
        worker.onmessage = ({ data }) => resolve(data)
        worker.onerror = ({ message }) => resolve({ error: message })
        worker.postMessage(request)
      })
      if (!stays) worker.terminate()
      return answer
    },
    { script, request, stays },
  )

const IMAGE_BYTES = 10_000
const clean = Array.from({ length: 8 }, (_, i) => i)

test('D10 a disk is kept for its image, and for no other', async ({ page }) => {
  await page.goto('/icon.svg')
  const write = { imageBytes: IMAGE_BYTES, offset: 2, bytes: [91, 92, 93], read: 8 }
  const written = [0, 1, 91, 92, 93, 5, 6, 7]
  expect(await ask(page, write)).toEqual({ bytes: written })
  await page.reload()
  const readBack = { ...write, bytes: [] }
  await expect.poll(async () => (await ask(page, readBack)).bytes).toEqual(written)
  expect(await ask(page, { ...readBack, imageBytes: IMAGE_BYTES + 1 })).toEqual({ bytes: clean })
})

test('D10 a disk in use elsewhere is refused with the remedy', async ({ page }) => {
  await page.goto('/icon.svg')
  const request = { imageBytes: IMAGE_BYTES, offset: 0, bytes: [], read: 8 }
  expect(await ask(page, request, true)).toEqual({ bytes: clean })
  const refused = await ask(page, request)
  expect(refused.error).toContain('another tab runs a machine with this disk: close it')
})
