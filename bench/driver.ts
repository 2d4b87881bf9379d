// Drives a machine through its API, here or in a page: boots the monitor and types commands, or runs a guest
// to its power-off again and again and times it by its trace.

import type { MachineApi, MachineConfig, MachineEvents, StopReason } from '../core/machine/api.ts'
import { defaultHostChoice } from '../core/machine/host-choice.ts'
import { MachineView } from '../core/machine/view.ts'
import { type BatchTimes, batchTimes } from './trace-times.ts'

const MIB = 2 ** 20
const DRAIN_MS = 4
const DRAIN_BYTES = 65_536
const PROMPT = 'gmem> '

/** A hypervisor of its own, and how to end it. */
export interface Hypervisor {
  readonly api: MachineApi
  /** `memory`: the machine's, once it has been created. */
  end(memory: WebAssembly.Memory): void
}

const config = (kernel: Uint8Array): MachineConfig => ({
  hostBytes: 384 * MIB,
  ramBytes: 128 * MIB,
  vcpus: 1,
  kernel,
  append: '',
  private: true,
  host: defaultHostChoice,
})

/** Whoever waits for the machine to stop. */
interface Listener {
  stopped: (reason: StopReason) => void
}

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export class Driver {
  readonly #hypervisor: Hypervisor
  readonly #memory: WebAssembly.Memory
  readonly #view: MachineView
  readonly #listener: Listener
  #fresh = true

  private constructor(hypervisor: Hypervisor, memory: WebAssembly.Memory, listener: Listener) {
    this.#hypervisor = hypervisor
    this.#memory = memory
    this.#view = new MachineView(memory)
    this.#listener = listener
  }

  /** A paused machine with 128 MiB of private RAM and one vCPU. */
  static async create(hypervisor: Hypervisor, kernel: Uint8Array): Promise<Driver> {
    const listener: Listener = { stopped: () => {} }
    const events: MachineEvents = { notice: () => {}, stopped: (reason) => listener.stopped(reason) }
    return new Driver(hypervisor, await hypervisor.api.create(config(kernel), events), listener)
  }

  end(): void {
    this.#hypervisor.end(this.#memory)
  }

  /** Runs the guest from power-on to power-off; what its trace says of it. Throws when the guest failed. */
  async batch(): Promise<BatchTimes> {
    const { api } = this.#hypervisor
    if (!this.#fresh) await api.reset()
    this.#fresh = false
    const ended = new Promise<StopReason>((resolve) => {
      this.#listener.stopped = resolve
    })
    await api.run()
    const reason = await ended
    if (reason.state !== 'off') throw new Error(`the bench guest failed: ${reason.message}`)
    const [hypervisor, vcpu] = this.#view.traces.map((ring) => ring.read(0))
    if (vcpu.lost > 0 || hypervisor.lost > 0) throw new Error('the batch is too long for the trace rings')
    return batchTimes(hypervisor.records, vcpu.records)
  }

  /** Boots the monitor to its prompt. */
  async boot(): Promise<void> {
    this.#fresh = false
    await this.#hypervisor.api.run()
    await this.#untilPrompt()
  }

  /** Types a command at the monitor's prompt; what it printed. */
  async command(line: string): Promise<string> {
    await this.#hypervisor.api.consoleInput(new TextEncoder().encode(`${line}\r`))
    return this.#untilPrompt()
  }

  async #untilPrompt(): Promise<string> {
    const decoder = new TextDecoder()
    for (let text = ''; ; await later(DRAIN_MS)) {
      text += decoder.decode(this.#view.console.drain(DRAIN_BYTES))
      if (text.endsWith(PROMPT)) return text
    }
  }
}

/** Batches of one guest, after `warm` of them that do not count. */
export const runBatches = async (
  hypervisor: Hypervisor,
  kernel: Uint8Array,
  { warm, batches }: { warm: number; batches: number },
): Promise<BatchTimes[]> => {
  const driver = await Driver.create(hypervisor, kernel)
  const times: BatchTimes[] = []
  for (let i = 0; i < warm + batches; i++) {
    const batch = await driver.batch()
    if (i >= warm) times.push(batch)
  }
  driver.end()
  return times
}
