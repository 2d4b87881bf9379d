import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fetchPackages } from './apt.ts'
import { readSet } from './cache.ts'
import { moduleNames } from './modules.ts'
import { cachedLinux } from './provide.ts'
import { LinuxUnavailable } from './unavailable.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gmemscope-linux-'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** A whole set in `folder`; `format` as its manifest says. */
const writeFiles = (folder: string, format = 1): void => {
  mkdirSync(folder, { recursive: true })
  const hashes: Record<string, string> = {}
  for (const name of ['Image', 'busybox', ...moduleNames.map((module) => `${module}.ko.xz`)]) {
    writeFileSync(join(folder, name), `bytes of ${name}`)
    hashes[name] = createHash('sha256').update(`bytes of ${name}`).digest('hex')
  }
  const manifest = { format, release: '6.12.0', suite: 'trixie', mirror: 'here', packages: [], hashes }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest))
}

describe('a set in the cache', () => {
  it('is read when it is whole', async () => {
    writeFiles(root)
    const set = await readSet(root)
    expect(set?.manifest.release).toBe('6.12.0')
    expect(Buffer.from(set?.kernel ?? []).toString()).toBe('bytes of Image')
    expect([...(set?.modules.keys() ?? [])]).toEqual(moduleNames)
  })

  it.each<[string, () => void]>([
    ['when there is none', () => {}],
    ['when a file has other bytes', () => writeFileSync(join(root, 'Image'), 'bytes of Imagf')],
    ['when a file is missing', () => rmSync(join(root, 'busybox'))],
    ['when the manifest is cut short', () => writeFileSync(join(root, 'manifest.json'), '{"format":1')],
    ['when it was made for another version of this program', () => writeFiles(root, 0)],
  ])('counts as none %s', async (what, damage) => {
    if (what !== 'when there is none') writeFiles(root)
    damage()
    expect(await readSet(root)).toBeNull()
  })
})

describe('Linux', () => {
  it('is made of the cached set and the sources of the initial RAM disk', async () => {
    writeFiles(join(root, '.cache/linux/debian'))
    mkdirSync(join(root, 'guest/linux'), { recursive: true })
    for (const name of ['init', 'profile']) writeFileSync(join(root, 'guest/linux', name), name)
    mkdirSync(join(root, 'public/guests'), { recursive: true })
    writeFileSync(join(root, 'public/guests/gmem.elf'), 'gmem')
    const guest = await cachedLinux(root)
    expect(Buffer.from(guest?.kernel ?? []).toString()).toBe('bytes of Image')
    // gzip's magic number.
    expect([...(guest?.initrd.subarray(0, 2) ?? [])]).toEqual([0x1f, 0x8b])
  })

  it('without apt says what is missing and what to do instead', async () => {
    const { PATH } = process.env
    process.env.PATH = root
    try {
      const fetching = fetchPackages(join(root, 'apt'), () => {})
      await expect(fetching).rejects.toThrow(LinuxUnavailable)
      await expect(fetching).rejects.toMatchObject({
        message: expect.stringContaining('apt-get is not here'),
        remedy: expect.stringContaining('--kernel and --initrd'),
      })
    } finally {
      process.env.PATH = PATH
    }
  })
})
