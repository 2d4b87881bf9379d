// KVM and Gunyah need nothing of each other: each one's tests are run in a copy of the tree that lacks the other.
// usage: node scripts/peers.mjs     (a step of `npm test`)
// Last line: `N passed, M failed`. Exit status 0 when nothing failed.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './setup.mjs'

const PEERS = ['kvm', 'gunyah']
/** What stands on both: not there without one of them. */
const ABOVE = ['vmm', 'machine']

/**
 * Runs the tests of one hypervisor in a tree without the other.
 * @param {string} kept
 * @param {string} missing
 * @returns {{ passed: number, failed: number }}
 */
function runWithout(kept, missing) {
  const tree = mkdtempSync(join(tmpdir(), `gmemscope-without-${missing}-`))
  try {
    const left = [missing, ...ABOVE].map((folder) => join(root, 'core', folder))
    cpSync(join(root, 'core'), join(tree, 'core'), {
      recursive: true,
      filter: (source) => !left.includes(source),
    })
    for (const file of ['package.json', 'vite.config.ts', 'tsconfig.base.json'])
      cpSync(join(root, file), join(tree, file))
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'), 'dir')
    const report = join(tree, 'report.json')
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const args = ['run', '--root', tree, '--reporter=json', `--outputFile=${report}`, `core/${kept}/`]
    spawnSync(process.execPath, [vitest, ...args], { cwd: tree, stdio: ['ignore', 'ignore', 'inherit'] })
    const { numPassedTests, numTotalTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
    for (const { name, status, message } of testResults)
      if (status !== 'passed') console.error(`without core/${missing}: ${name}\n${message}`)
    // A file that does not even load has no tests to count.
    const broken = testResults.filter(
      (/** @type {{ status: string, assertionResults: unknown[] }} */ { status, assertionResults }) =>
        status !== 'passed' && assertionResults.length === 0,
    ).length
    const failed = numTotalTests - numPassedTests + broken
    console.log(`core/${kept} without core/${missing}: ${numPassedTests} passed, ${failed} failed`)
    return { passed: numPassedTests, failed }
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

/** @returns {{ passed: number, failed: number }} tests of both, each without the other */
export function runPeers() {
  const total = { passed: 0, failed: 0 }
  for (const missing of PEERS) {
    const [kept] = PEERS.filter((peer) => peer !== missing)
    const { passed, failed } = runWithout(kept, missing)
    total.passed += passed
    total.failed += failed + (passed === 0 ? 1 : 0)
  }
  return total
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { passed, failed } = runPeers()
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
