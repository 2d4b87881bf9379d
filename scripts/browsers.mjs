// Finds the browsers that the end-to-end tests drive; installs a Chromium where that is possible.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'

const require = createRequire(import.meta.url)

/** Command names on PATH, then fixed places (macOS). */
const CHROMIUM = [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]
const FIREFOX = ['firefox', 'firefox-esr', '/Applications/Firefox.app/Contents/MacOS/firefox']

/** The oldest Firefox the page promises to run on. */
const FIREFOX_BASELINE = 145

/** What to do when no Chromium is found: the last word of a failed `npm test`. */
export const CHROMIUM_INSTRUCTION =
  'No Chromium was found and none could be installed. Install Chromium or Chrome, or set GMEMSCOPE_CHROMIUM to its executable.'

/** @param {string} path */
function executable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * The first of `names` that can be executed: a name is looked for on PATH, a path is taken as it is.
 * @param {string[]} names
 * @param {string} searchPath value of PATH
 * @returns {string | undefined}
 */
export function findExecutable(names, searchPath = process.env.PATH ?? '') {
  const places = searchPath.split(delimiter).filter((folder) => folder !== '')
  return names
    .flatMap((name) => (name.includes('/') ? [name] : places.map((folder) => join(folder, name))))
    .find(executable)
}

/**
 * An executable named by an environment variable, which then must exist.
 * @param {string} variable
 */
function named(variable) {
  const path = process.env[variable]
  if (path && !executable(path)) throw new Error(`${variable} is ${path}, which cannot be executed`)
  return path
}

/**
 * The Chromium to test with: $GMEMSCOPE_CHROMIUM, the system's, or one that Playwright downloaded earlier.
 * @returns {string | undefined}
 */
export function findChromium() {
  const path = named('GMEMSCOPE_CHROMIUM') ?? findExecutable(CHROMIUM)
  if (path) return path
  const { chromium } = require('@playwright/test')
  const downloaded = chromium.executablePath()
  return executable(downloaded) ? downloaded : undefined
}

/**
 * As findChromium(), after installing one if need be: Debian's package when root, else Playwright's download.
 * @returns {string} throws with CHROMIUM_INSTRUCTION when there is no way
 */
export function ensureChromium() {
  const present = findChromium()
  if (present) return present
  const debian = existsSync('/etc/debian_version') && process.getuid?.() === 0
  if (debian) {
    run('apt-get', ['update'])
    run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'])
  }
  if (!findChromium()) {
    run(process.execPath, [require.resolve('@playwright/test/cli'), 'install', 'chromium'])
  }
  const path = findChromium()
  if (!path) throw new Error(CHROMIUM_INSTRUCTION)
  return path
}

/**
 * The installed Firefox, if it is not older than the baseline. Nothing is installed for it.
 * @returns {string | undefined}
 */
export function findFirefox() {
  const path = named('GMEMSCOPE_FIREFOX') ?? findExecutable(FIREFOX)
  if (!path) return undefined
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  const major = Number(/Firefox (\d+)/.exec(stdout ?? '')?.[1])
  return major >= FIREFOX_BASELINE ? path : undefined
}

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  console.log(`> ${command} ${args.join(' ')}`)
  spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
}
