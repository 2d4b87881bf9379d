// A person's session with a machine, from a list of steps: lines typed to the monitor and calls of the machine's API.
// Prints a report; ends with every invariant checked.
// usage: node scripts/run.mjs worker/node/testing/session.ts SETTINGS STEPS     (both JSON, as in run.ts)

import { readFileSync } from 'node:fs'
import { elf } from '../../../core/engine/testing/elf.ts'
import type { MachineNotice } from '../../../core/machine/api.ts'
import { defaultHostChoice } from '../../../core/machine/host-choice.ts'
import { MachineView } from '../../../core/machine/view.ts'
import { assemble } from '../../../core/riscv/asm.ts'
import { createNodeMachine } from '../platform.ts'
import { PROGRAM_BASE, type SessionReport, type SessionSettings, type SessionStep } from './run.ts'

const MIB = 2 ** 20
const PROMPT = 'gmem> '
const POLL_MS = 4
/** A step that takes longer has failed. */
const STEP_MS = 15_000

const settings = JSON.parse(process.argv[2]) as SessionSettings
const steps = JSON.parse(process.argv[3]) as readonly SessionStep[]

const kernel = (): Uint8Array => {
  if (settings.program === undefined) return readFileSync('public/guests/monitor.elf')
  const words = assemble(settings.program, PROGRAM_BASE)
  return elf(new Uint32Array(words), PROGRAM_BASE, PROGRAM_BASE + 0x1000)
}

const machine = createNodeMachine()
const notices: MachineNotice[] = []
let ended = ''
const memory = await machine.create(
  {
    hostBytes: (settings.hostMiB ?? 384) * MIB,
    ramBytes: 128 * MIB,
    vcpus: settings.vcpus ?? 1,
    kernel: kernel(),
    append: '',
    private: settings.private ?? true,
    host: { ...defaultHostChoice, ...settings.host },
  },
  {
    notice: (notice) => notices.push(notice),
    stopped: ({ message }) => {
      ended = message
    },
  },
)
const view = new MachineView(memory)
let output = ''

const drain = (): void => {
  for (let bytes = view.console.drain(65_536); bytes.length > 0; bytes = view.console.drain(65_536))
    output += Buffer.from(bytes).toString('latin1')
}

/** Waits until `holds`; throws with what the console and the notices say when it takes too long. */
const waitFor = async (what: string, holds: () => boolean): Promise<void> => {
  for (const end = performance.now() + STEP_MS; !holds(); drain()) {
    if (performance.now() > end) {
      const told = notices.map(({ title }) => title).join('; ')
      throw new Error(`no ${what} after ${STEP_MS} ms; console: ${output.slice(-300)}; notices: ${told}`)
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

const type = async (line: string): Promise<void> => {
  const bytes = Buffer.from(`${line}\r`)
  for (let done = 0; done < bytes.length; ) {
    done += await machine.consoleInput(bytes.subarray(done))
    if (done < bytes.length) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** What the guest printed and the person was told before the step. */
let seen = { output: 0, notices: 0 }
const results: unknown[] = []

const run = async (step: SessionStep): Promise<unknown> => {
  if ('notice' in step) {
    const told = (): MachineNotice | undefined =>
      notices.slice(seen.notices).find(({ title }) => title.includes(step.notice))
    await waitFor(`notice "${step.notice}"`, () => told() !== undefined)
    seen = { ...seen, notices: notices.length }
    return told() ?? notices.at(-1)
  }
  if ('call' in step) {
    const method = machine[step.call] as (...args: readonly unknown[]) => Promise<unknown>
    // A list stands for bytes.
    const args = (step.args ?? []).map((arg) => (Array.isArray(arg) ? Uint8Array.from(arg) : arg))
    return await method.apply(machine, args)
  }
  if ('type' in step) {
    seen = { ...seen, output: output.length }
    await type(step.type)
    if (step.waits === false) return null
  }
  await waitFor('prompt', () => output.indexOf(PROMPT, seen.output) >= 0)
  const printed = output.slice(seen.output)
  seen = { ...seen, output: output.length }
  return printed
}

let error = ''
try {
  await machine.run()
  if (settings.program === undefined) await run({ prompt: true })
  for (const step of steps) results.push(await run(step))
} catch (failure) {
  error = failure instanceof Error ? failure.message : String(failure)
}
const violations = await machine.checkInvariants()
const report: SessionReport = { results, notices, ended, error, violations }
process.stdout.write(
  JSON.stringify(report, (_key, value) => (value instanceof Uint8Array ? [...value] : value)),
  () => process.exit(error || violations.length > 0 ? 1 : 0),
)
