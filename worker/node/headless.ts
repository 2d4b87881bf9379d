// The same machine in Node: guest console on standard output, keyboard from standard input.
//
// The hypervisor runs in this thread, each vCPU and the timer in a worker thread of its own.

import { readFileSync } from 'node:fs'
import type { ByteRing } from '../../core/devices/byte-ring.ts'
import type { MachineConfig, StopReason, VirtioConfig } from '../../core/machine/api.ts'
import type { Machine } from '../../core/machine/machine.ts'
import { MachineView } from '../../core/machine/view.ts'
import { type HeadlessOptions, parseHeadlessArguments, USAGE, UsageError } from './arguments.ts'
import { provideLinux } from './linux/provide.ts'
import { LinuxUnavailable } from './linux/unavailable.ts'
import { createNodeMachine } from './platform.ts'

const Status = { ok: 0, failed: 1, usage: 2, timeout: 3 } as const

const MIB = 2 ** 20
/** Console bytes kept for matching --until across reads. */
const MATCH_WINDOW = 65_536
const DRAIN_MS = 4

const readFile = (option: string, path: string): Uint8Array => {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`--${option} ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Kernel and initial RAM disk. Fetching Debian's says how far it is. */
const guestFiles = async ({
  kernel,
  initrd,
}: HeadlessOptions): Promise<Pick<MachineConfig, 'kernel' | 'initrd'>> => {
  if (kernel !== null)
    return {
      kernel: readFile('kernel', kernel),
      ...(initrd === undefined ? {} : { initrd: readFile('initrd', initrd) }),
    }
  let told = ''
  return await provideLinux(process.env.GMEMSCOPE_ROOT ?? process.cwd(), (step, fraction) => {
    const line = `${step}: ${Math.floor(fraction * 10) * 10} %`
    if (line !== told) process.stderr.write(`gmemscope: ${line}\n`)
    told = line
  })
}

/** With any device on the bus there is a source of randomness, too: a guest starts faster with one. */
const virtioConfig = ({ disk, virtioConsole, balloon }: HeadlessOptions): VirtioConfig | undefined => {
  if (disk === undefined && !virtioConsole && !balloon) return undefined
  return {
    console: virtioConsole,
    rng: true,
    balloon,
    ...(disk === undefined ? {} : { disk: { image: readFile('disk', disk), persistent: false } }),
  }
}

const machineConfig = async (options: HeadlessOptions): Promise<MachineConfig> => {
  const virtio = virtioConfig(options)
  return {
    // Both halves of RAM may be allocated in full, and the host's tables need room.
    hostBytes: Math.min(4096 * MIB - 65_536, (options.private ? 2 : 1) * options.ramBytes + 128 * MIB),
    ramBytes: options.ramBytes,
    vcpus: options.vcpus,
    ...(await guestFiles(options)),
    append: options.append,
    private: options.private,
    host: options.host,
    ...(virtio ? { virtio } : {}),
  }
}

/** Runs the guest to its end and returns the exit status. */
const runHeadless = async (options: HeadlessOptions): Promise<number> => {
  const machine = createNodeMachine()
  let end: (status: number) => void = () => {}
  const ended = new Promise<number>((resolve) => {
    end = resolve
  })
  const stopped = (reason: StopReason): void => {
    if (reason.state === 'reboot') return
    if (reason.state === 'failed') process.stderr.write(`gmemscope: ${reason.message}\n`)
    end(reason.state === 'off' ? Status.ok : Status.failed)
  }
  const notice = ({ title, detail }: { title: string; detail: string }): void => {
    process.stderr.write(`gmemscope: ${title}: ${detail}\n`)
  }
  const memory = await machine.create(await machineConfig(options), { stopped, notice })
  const view = new MachineView(memory)

  let recent = ''
  const drain = (): void => {
    drainRing(view.console)
    drainRing(view.virtioConsole)
  }
  const drainRing = (ring: ByteRing): void => {
    for (let bytes = ring.drain(65_536); bytes.length > 0; bytes = ring.drain(65_536)) {
      process.stdout.write(bytes)
      if (!options.until) continue
      recent = (recent + Buffer.from(bytes).toString('latin1')).slice(-MATCH_WINDOW)
      if (options.until.test(recent)) end(Status.ok)
    }
  }
  const drainer = setInterval(drain, DRAIN_MS)
  const timer = Number.isFinite(options.timeout)
    ? setTimeout(() => end(Status.timeout), options.timeout * 1000)
    : undefined

  const input = options.virtioConsole
    ? (bytes: Uint8Array) => machine.virtioConsoleInput(bytes)
    : (bytes: Uint8Array) => machine.consoleInput(bytes)
  feedInput(input, () => end(Status.failed))
  if (options.virtioConsole) await followTerminal(machine)
  await machine.run()
  const status = await ended
  clearInterval(drainer)
  clearTimeout(timer)
  await machine.pause()
  drain()
  if (status === Status.timeout) process.stderr.write(`gmemscope: no end after ${options.timeout} s\n`)
  if (options.stats) process.stderr.write(`${JSON.stringify(await machine.stats())}\n`)
  return status
}

const CTRL_A = 1
const RETRY_MS = 5

/** Tells the virtio console the size of the terminal that this runs on, now and when it changes. */
const followTerminal = async (machine: Machine): Promise<void> => {
  const { stdout } = process
  if (!stdout.isTTY) return
  stdout.on('resize', () => void machine.resizeVirtioConsole(stdout.columns, stdout.rows))
  await machine.resizeVirtioConsole(stdout.columns, stdout.rows)
}

/** Sends standard input to a console, no faster than the guest takes it. Ctrl-A x at a terminal ends the run. */
const feedInput = (input: (bytes: Uint8Array) => Promise<number>, quit: () => void): void => {
  const { stdin } = process
  if (stdin.isTTY) stdin.setRawMode(true)
  let escaped = false
  const send = async (bytes: Uint8Array): Promise<void> => {
    const taken = await input(bytes)
    if (taken === bytes.length) stdin.resume()
    else setTimeout(() => void send(bytes.subarray(taken)), RETRY_MS)
  }
  stdin.on('data', (bytes: Buffer) => {
    if (stdin.isTTY && escaped && bytes[0] === 'x'.charCodeAt(0)) return quit()
    escaped = bytes.at(-1) === CTRL_A
    if (stdin.isTTY && escaped) return
    stdin.pause()
    void send(bytes)
  })
}

const main = async (): Promise<number> => {
  try {
    const args = process.argv.slice(2)
    if (args.includes('--help') || args.includes('-h')) {
      process.stdout.write(`${USAGE}\n`)
      return Status.ok
    }
    return await runHeadless(parseHeadlessArguments(args))
  } catch (error) {
    // Whatever goes wrong before the guest runs is the command line, a file, or the image.
    process.stderr.write(`gmemscope: ${error instanceof Error ? error.message : String(error)}\n`)
    if (error instanceof LinuxUnavailable) process.stderr.write(`${error.remedy}\n`)
    if (error instanceof UsageError) process.stderr.write(`${USAGE}\n`)
    return Status.usage
  }
}

const status = await main()
// Written out before the process, with its blocked threads, ends.
process.stdout.write('', () => process.exit(status))
