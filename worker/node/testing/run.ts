// Programs of this folder as a person runs them, in processes of their own, for tests.

import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import type { HostChoice, MachineApi, MachineNotice } from '../../../core/machine/api.ts'

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

/** Runs headless; each of `lines` is typed when the prompt (the monitor's unless told) appears. */
export const headless = (
  args: readonly string[],
  lines: readonly string[] = [],
  prompt = 'gmem> ',
): Promise<Run> => {
  const waiting = [...lines]
  let answered = 0
  return run('worker/node/headless.ts', args, (output) => {
    const prompts = output.split(prompt).length - 1
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

/** What a session's machine is made of: 128 MiB, and the monitor unless told. */
export interface SessionSettings {
  readonly host?: Partial<HostChoice>
  /** Default true. */
  readonly private?: boolean
  readonly vcpus?: number
  /** Default 384. */
  readonly hostMiB?: number
  /** A program in assembly at PROGRAM_BASE instead of the monitor; it has no prompt. */
  readonly program?: string
}

/** Where a session's own program starts. */
export const PROGRAM_BASE = 0x80200000

export type SessionStep =
  /** Waits for the monitor's prompt; the result is what was printed since the last line typed. */
  | { readonly prompt: true }
  /** Types a line, and unless `waits` is false waits for the prompt, which is the result. */
  | { readonly type: string; readonly waits?: boolean }
  /** Waits for a new notice with this in its title: the result. */
  | { readonly notice: string }
  /** Calls the machine; its answer is the result. */
  | { readonly call: keyof MachineApi; readonly args?: readonly unknown[] }

export interface SessionReport {
  /** One for each step. */
  readonly results: readonly unknown[]
  readonly notices: readonly MachineNotice[]
  /** Why the machine stopped; empty when it did not. */
  readonly ended: string
  /** Why the session broke off; empty when it did not. */
  readonly error: string
  readonly violations: readonly string[]
}

export const session = async (
  settings: SessionSettings,
  steps: readonly SessionStep[],
): Promise<SessionReport> => {
  const args = [JSON.stringify(settings), JSON.stringify(steps)]
  const { output, errors } = await run('worker/node/testing/session.ts', args, () => null)
  if (!output) throw new Error(errors)
  return JSON.parse(output) as SessionReport
}
