// The set-up step decides rightly whether anything is to do, and bundles notice every change of a source.
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findChromium, findExecutable } from './browsers.mjs'
import { fingerprint } from './fingerprint.mjs'
import { installed, nodeComplaint } from './setup.mjs'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gmemscope-setup-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test.each(['20.19.0', '20.20.2', '22.0.0', '26.1.0'])('Node %s will do', (version) => {
  expect(nodeComplaint(version)).toBeUndefined()
})

test.each(['18.20.4', '20.18.3', '12.0.0'])(
  'Node %s is refused, with the version that is needed',
  (version) => {
    expect(nodeComplaint(version)).toMatch(`needs Node 20.19 or later; this is Node ${version}`)
  },
)

describe('installed()', () => {
  const lock = () => join(folder, 'package-lock.json')
  const record = () => join(folder, 'node_modules', '.package-lock.json')
  const stamp = () => join(folder, 'node_modules', '.gmemscope-lock.json')
  beforeEach(() => {
    writeFileSync(lock(), 'one')
    mkdirSync(join(folder, 'node_modules'))
  })

  test('not without a finished installation', () => expect(installed(folder)).toBe(false))

  test('after a hand-made `npm ci`, until the lock file is newer', () => {
    writeFileSync(record(), '')
    expect(installed(folder)).toBe(true)
    utimesSync(record(), 1, 1)
    expect(installed(folder)).toBe(false)
  })

  test('with a stamp as long as the lock file says the same', () => {
    writeFileSync(record(), '')
    writeFileSync(stamp(), 'one')
    expect(installed(folder)).toBe(true)
    writeFileSync(lock(), 'two')
    expect(installed(folder)).toBe(false)
  })
})

describe('fingerprint()', () => {
  const print = () => fingerprint(folder, ['src', 'absent'])
  const file = (name: string) => join(folder, 'src', name)
  beforeEach(() => {
    mkdirSync(file('deep'), { recursive: true })
    writeFileSync(file('deep/a.ts'), 'a')
  })

  test.each<[string, () => void]>([
    ['an edit', () => writeFileSync(file('deep/a.ts'), 'longer')],
    ['a clock set back', () => utimesSync(file('deep/a.ts'), 1, 1)],
    ['a new file', () => writeFileSync(file('b.ts'), '')],
    ['a rename', () => renameSync(file('deep/a.ts'), file('deep/c.ts'))],
    ['a removal', () => rmSync(file('deep/a.ts'))],
  ])('%s changes it', (_name, change) => {
    const before = print()
    expect(print()).toBe(before)
    change()
    expect(print()).not.toBe(before)
  })

  test('a test is no source', () => {
    const before = print()
    writeFileSync(file('deep/a.test.ts'), '')
    expect(print()).toBe(before)
  })
})

describe('browsers', () => {
  test('an executable is found on the search path in the order of the names', () => {
    for (const name of ['second', 'first']) writeFileSync(join(folder, name), '', { mode: 0o755 })
    writeFileSync(join(folder, 'data'), '', { mode: 0o644 })
    expect(findExecutable(['absent', 'data', 'first', 'second'], folder)).toBe(join(folder, 'first'))
    expect(findExecutable(['absent'], folder)).toBeUndefined()
    expect(findExecutable([join(folder, 'second')], '')).toBe(join(folder, 'second'))
  })

  test('a Chromium named by the environment must exist', () => {
    const before = process.env.GMEMSCOPE_CHROMIUM
    process.env.GMEMSCOPE_CHROMIUM = join(folder, 'absent')
    try {
      expect(() => findChromium()).toThrow('GMEMSCOPE_CHROMIUM is ')
    } finally {
      if (before === undefined) delete process.env.GMEMSCOPE_CHROMIUM
      else process.env.GMEMSCOPE_CHROMIUM = before
    }
  })
})
