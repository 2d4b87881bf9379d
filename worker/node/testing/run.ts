// Programs of this folder as a person runs them, in processes of their own, for tests.

import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../../..')

export interface Run {
  readonly status: number | null
  readonly output: string
  readonly errors: string
}

const run = (
  entry: string,
  args: readonly string[],
  answer: (output: string) => string | null,
): Promise<Run> =>
  new Promise((done) => {
    const child = spawn(process.execPath, ['scripts/run.mjs', entry, ...args], { cwd: root })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('latin1')
      const line = answer(output)
      if (line !== null) child.stdin.write(`${line}\r`)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString()
    })
    child.on('close', (status) => done({ status, output, errors }))
  })

/** Runs headless; each of `lines` is typed when the monitor's prompt appears. */
export const headless = (args: readonly string[], lines: readonly string[] = []): Promise<Run> => {
  const waiting = [...lines]
  let answered = 0
  return run('worker/node/headless.ts', args, (output) => {
    const prompts = output.split('gmem> ').length - 1
    const line = prompts > answered ? waiting.shift() : undefined
    if (line === undefined) return null
    answered++
    return line
  })
}

/** What stress.ts reports at its end. */
export interface StressReport {
  readonly seed: number
  /** Why the guest ended; empty when it did not. */
  readonly ended: string
  readonly violations: readonly string[]
  readonly exits: Readonly<Record<string, number>>
}

export const stress = async (
  seconds: number,
  seed: number,
): Promise<{ status: number | null; report: StressReport }> => {
  const { status, output } = await run(
    'worker/node/testing/stress.ts',
    [String(seconds), String(seed)],
    () => null,
  )
  return { status, report: JSON.parse(output) }
}
