// Makes a fresh clone ready: checks Node's version, installs the packages of package-lock.json.
// Plain Node without dependencies; does nothing, in a few milliseconds, when nothing is to do.
// usage: node scripts/setup.mjs   (start.mjs, test.mjs and run.mjs call setup() themselves)
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** Oldest Node that the build tools run on (the 21 line is odd-numbered and left out by them). */
const MIN_NODE = [20, 19]

/**
 * Why this Node cannot be used, or undefined when it can.
 * @param {string} version as in process.versions.node
 */
export function nodeComplaint(version) {
  const [major, minor] = version.split('.').map(Number)
  const [minMajor, minMinor] = MIN_NODE
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return undefined
  return `gmemscope needs Node ${minMajor}.${minMinor} or later; this is Node ${version}. See https://nodejs.org`
}

/**
 * True when node_modules holds what the lock file asks for. The stamp is the lock file that was installed;
 * without it npm's own record counts if it is younger (someone ran `npm ci` by hand).
 * @param {string} folder the repository's root
 */
export function installed(folder) {
  const lock = join(folder, 'package-lock.json')
  const stamp = stampOf(folder)
  if (existsSync(stamp)) return readFileSync(stamp, 'utf8') === readFileSync(lock, 'utf8')
  const record = join(folder, 'node_modules', '.package-lock.json')
  return existsSync(record) && statSync(record).mtimeMs >= statSync(lock).mtimeMs
}

/** @param {string} folder */
const stampOf = (folder) => join(folder, 'node_modules', '.gmemscope-lock.json')

/** Brings the checkout up to date, or ends the process with a message that says what is missing. */
export function setup() {
  const complaint = nodeComplaint(process.versions.node)
  if (complaint) fail(complaint)
  if (installed(root)) return
  console.log('Installing packages (npm ci) ...')
  const npm = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (npm.error) fail(`npm could not be started (${npm.error.message}); it comes with Node.`)
  if (npm.status !== 0) fail('npm ci failed; its message is above.')
  writeFileSync(stampOf(root), readFileSync(join(root, 'package-lock.json')))
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message)
  process.exit(1)
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) setup()
