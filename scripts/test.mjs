// `npm test`: everything that must hold, in one command. All steps run even if one fails, so that one run tells all.
// usage: node scripts/test.mjs [--only STEP[,STEP ...]]      steps: lint types unit peers e2e soak (soak only when named)
// Last line: `N passed, M failed`, tests of Vitest and Playwright together; a step that breaks without a failed
// test (lint, types, a file that does not load) counts as one failure, and so does a skipped test.
// Exit status 0 when nothing failed, 1 otherwise, 2 for bad arguments.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureChromium, findFirefox } from './browsers.mjs'
import { runPeers } from './peers.mjs'
import { root, setup } from './setup.mjs'

/** @typedef {{ passed: number, failed: number }} Count */

const reports = mkdtempSync(join(tmpdir(), 'gmemscope-test-'))

/**
 * Runs a program of node_modules/.bin (or Node itself) at the repository's root, its output shown as it comes.
 * @param {string} name
 * @param {string[]} args
 * @param {Record<string, string>} [env] added to the environment
 * @returns {Promise<boolean>} whether it ended with status 0
 */
function run(name, args, env = {}) {
  const command = name === 'node' ? process.execPath : join(root, 'node_modules', '.bin', name)
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0))
  })
}

/**
 * The result of a step that is one check.
 * @param {boolean[]} checks
 * @returns {Count}
 */
const counted = (...checks) => ({ passed: 0, failed: checks.filter((fine) => !fine).length })

/**
 * A test runner's counts. Skipped tests are failures, and so is an unhappy end that no failed test explains.
 * @param {boolean} fine the runner ended with status 0
 * @param {number} passed
 * @param {number} failed
 * @param {number} skipped
 * @returns {Count}
 */
function tally(fine, passed, failed, skipped) {
  if (skipped > 0) console.error(`${skipped} skipped: a test either runs or is not there`)
  const unexplained = !fine && failed + skipped === 0 ? 1 : 0
  return { passed, failed: failed + skipped + unexplained }
}

/**
 * @param {string} file
 * @returns {any} the parsed report, or an empty one when the runner wrote none
 */
function report(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

/**
 * @param {Record<string, string>} [env]
 * @returns {Promise<Count>}
 */
async function vitest(env) {
  const file = join(reports, 'vitest.json')
  const fine = await run(
    'vitest',
    ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`],
    env,
  )
  const {
    numPassedTests = 0,
    numFailedTests = 0,
    numPendingTests = 0,
    numTodoTests = 0,
    testResults = [],
  } = report(file)
  /** @param {{ status: string, assertionResults: { status: string }[] }} result */
  const broken = ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((test) => test.status === 'failed')
  return tally(
    fine,
    numPassedTests,
    numFailedTests + testResults.filter(broken).length,
    numPendingTests + numTodoTests,
  )
}

/**
 * @param {Record<string, string>} [env]
 * @param {string[]} [args]
 * @returns {Promise<Count>}
 */
async function playwright(env = {}, args = []) {
  const file = join(reports, 'playwright.json')
  const chromium = ensureChromium()
  console.log(
    `Chromium: ${chromium}; Firefox smoke test: ${findFirefox() ?? 'none, no Firefox is installed'}`,
  )
  const fine = await run('playwright', ['test', '--reporter=list,json', ...args], {
    PLAYWRIGHT_JSON_OUTPUT_FILE: file,
    GMEMSCOPE_CHROMIUM: chromium,
    GMEMSCOPE_E2E_PORT: String(await freePort()),
    // Node 20 has the WebSocket of later versions behind this switch.
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --experimental-websocket`.trim(),
    ...env,
  })
  const { expected = 0, unexpected = 0, flaky = 0, skipped = 0 } = report(file).stats ?? {}
  return tally(fine, expected, unexpected + flaky, skipped)
}

/** @returns {Promise<number>} a TCP port that nobody listens on */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, 'localhost', () => {
      const address = server.address()
      server.close(() => resolve(address && typeof address === 'object' ? address.port : 0))
    })
  })
}

/** @type {Record<string, () => Promise<Count>>} */
const STEPS = {
  lint: async () =>
    counted(
      await run('biome', ['check', '--error-on-warnings', '.']),
      await run('node', ['scripts/layers.mjs']),
    ),
  types: async () => counted(await run('tsc', ['-b'])),
  unit: () => vitest(),
  peers: async () => runPeers(),
  e2e: () => playwright(),
  soak: async () => {
    const env = { GMEMSCOPE_SOAK: '1' }
    const [unit, e2e] = [await vitest(env), await playwright(env, ['--pass-with-no-tests'])]
    return { passed: unit.passed + e2e.passed, failed: unit.failed + e2e.failed }
  },
}
const DEFAULT_STEPS = ['lint', 'types', 'unit', 'peers', 'e2e']

/** @returns {string[]} the steps the command line asks for */
function chosenSteps() {
  const [option, list, ...rest] = process.argv.slice(2)
  if (option === undefined) return DEFAULT_STEPS
  const steps = option === '--only' && list ? list.split(',') : []
  if (steps.length > 0 && rest.length === 0 && steps.every((step) => step in STEPS)) return steps
  console.error(
    `usage: node scripts/test.mjs [--only STEP[,STEP ...]]   steps: ${Object.keys(STEPS).join(' ')}`,
  )
  process.exit(2)
}

const steps = chosenSteps()
const started = performance.now()
setup()
const total = { passed: 0, failed: 0 }
/** @type {string[]} */
const summary = []
for (const step of steps) {
  console.log(`\n== ${step}`)
  const begun = performance.now()
  const count = await STEPS[step]().catch((error) => {
    console.error(error.message)
    return counted(false)
  })
  total.passed += count.passed
  total.failed += count.failed
  const seconds = ((performance.now() - begun) / 1000).toFixed(1)
  summary.push(`${step.padEnd(6)} ${count.failed === 0 ? 'ok    ' : 'FAILED'} ${seconds.padStart(6)} s`)
}
rmSync(reports, { recursive: true, force: true })

console.log(`\n${summary.join('\n')}`)
console.log(`total  ${((performance.now() - started) / 1000).toFixed(1)} s`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1
