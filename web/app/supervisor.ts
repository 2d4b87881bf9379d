// The supervisor: starts the hypervisor worker, builds machines in it, watches its heartbeat, restarts it.
//
// Owns what lives longer than a React render: the worker, the view of its memory, the sampler and the event log.

import {
  type MachineConfig,
  type MachineNotice,
  MachineState,
  type TaskMode,
} from '../../core/machine/api.ts'
import { Header, MachineView } from '../../core/machine/view.ts'
import { fetchBytes, type Guest, type GuestFiles } from '../guest/guest.ts'
import { EventLog } from '../model/event-log.ts'
import { Sampler } from '../model/sampler.ts'
import type { Found, FrameScheduler } from './frame-scheduler.ts'
import { connect, type Hypervisor, HypervisorGone } from './rpc.ts'
import type { Settings, Store } from './store.ts'

/** The heart beats at least every 100 ms; standing still this long means that the worker is dead. */
const HEARTBEAT_LIMIT_MS = 1_500
/** A pause of the page itself (a hidden tab, a breakpoint) must not look like the worker's death. */
const OWN_PAUSE_MS = 400
const MIB = 2 ** 20
const MAX_NOTICES = 3
/** Notices that ask for nothing go by themselves. */
const INFO_MS = 8_000
const MONITOR_URL = new URL('guests/monitor.elf', document.baseURI)

/** What lives with one machine. */
export interface Machine {
  readonly view: MachineView
  readonly sampler: Sampler
  readonly log: EventLog
}

export const spawnWorker = (): Worker =>
  new Worker(new URL('../../worker/hypervisor.worker.ts', import.meta.url), {
    type: 'module',
    name: 'hypervisor',
  })

/** What one WebAssembly memory can have. */
const MAX_HOST_BYTES = 4096 * MIB - 65_536

/** Host memory for a machine: both halves of private RAM may be allocated at once, and the host needs room. */
export const hostBytesFor = ({ ramMiB }: Settings, isPrivate = true): number =>
  Math.min(MAX_HOST_BYTES, Math.max(512, ramMiB * (isPrivate ? 2 : 1) + 256) * MIB)

export class Supervisor {
  machine: Machine | null = null
  readonly #store: Store
  readonly #scheduler: FrameScheduler
  readonly #spawn: () => Worker
  readonly #still = matchMedia('(prefers-reduced-motion: reduce)')
  #hypervisor: Hypervisor | null = null
  #monitor: Uint8Array | null = null
  #beat = 0
  #beatAt = 0
  #notice = 0
  /** Counts boots, so that a late answer to an earlier one is dropped. */
  #boot = 0

  constructor(store: Store, scheduler: FrameScheduler, spawn: () => Worker) {
    this.#store = store
    this.#scheduler = scheduler
    this.#spawn = spawn
    scheduler.addReader((now, elapsed) => this.#read(now, elapsed))
  }

  /** The hypervisor's API; throws when there is no live worker. */
  get api(): Hypervisor['api'] {
    if (!this.#hypervisor) throw new HypervisorGone('it has not been started')
    return this.#hypervisor.api
  }

  /** A new worker and a new machine from the settings, run at once. */
  async boot(): Promise<void> {
    const boot = ++this.#boot
    const { settings, guest } = this.#store.getState()
    this.#end('replaced by a new machine')
    this.#store.setState({
      run: MachineState.empty,
      pausing: false,
      stop: null,
      notices: [],
      slowMs: 0,
      policy: 'accept',
      outcomes: [],
      keepFree: null,
    })
    try {
      this.#step('Loading the guest')
      const files = await this.#load(guest)
      if (boot !== this.#boot) return
      this.#step('Starting the hypervisor')
      const hypervisor = connect(this.#spawn(), (message) => {
        if (boot === this.#boot) this.#died(message)
      })
      this.#hypervisor = hypervisor
      this.#step(`Building a machine with ${settings.ramMiB} MiB of guest memory`)
      const memory = await hypervisor.api.create(this.#config(settings, guest, files), {
        notice: (notice) => this.notify(notice),
        stopped: (stop) => {
          if (boot !== this.#boot) return
          // What was said of the machine before a reboot is no longer so.
          this.#store.setState(stop.state === 'reboot' ? { stop: null, notices: [] } : { stop })
        },
      })
      if (boot !== this.#boot) return
      const view = new MachineView(memory)
      this.machine = { view, sampler: new Sampler(view), log: new EventLog(view) }
      this.#beatAt = performance.now()
      this.#store.setState({ session: { phase: 'live' }, selection: null, hover: null })
      await hypervisor.api.run()
    } catch (error) {
      if (boot !== this.#boot || error instanceof HypervisorGone) return
      this.#failed(error, settings)
    }
  }

  async run(): Promise<void> {
    if (this.#store.getState().run === MachineState.off) return this.reset()
    await this.api.run()
  }

  /** Kernel tasks under way end first, which takes its time in slow motion. */
  async pause(): Promise<void> {
    this.#store.setState({ pausing: true })
    try {
      await this.api.pause()
    } finally {
      this.#store.setState({ pausing: false })
    }
  }

  /** The same machine from power-on; a dead hypervisor gets a new worker. */
  async reset(): Promise<void> {
    if (this.#store.getState().session.phase !== 'live') return this.boot()
    this.#store.setState(({ resets }) => ({
      stop: null,
      notices: [],
      resets: resets + 1,
      keepFree: null,
    }))
    await this.api.reset()
    await this.api.run()
  }

  async setSlow(slowMs: number): Promise<void> {
    const mode: TaskMode = slowMs > 0 ? { kind: 'slow', stepMs: slowMs } : { kind: 'run' }
    await this.api.setTaskMode(mode)
    this.#store.setState({ slowMs })
  }

  async setPolicy(policy: 'accept' | 'refuse'): Promise<void> {
    await this.api.setPolicy(policy)
    this.#store.setState({ policy })
  }

  /** Another process takes host memory until `keepFree` frames are free; null: it gives all back. */
  async setPressure(keepFree: number | null): Promise<void> {
    this.#store.setState({ keepFree })
    await this.api.setPressure(keepFree)
  }

  /** New settings mean a new machine. */
  async rebuild(change: Partial<Settings>): Promise<void> {
    this.#store.setState(({ settings }) => ({ settings: { ...settings, ...change } }))
    await this.boot()
  }

  /** Another guest, null for the monitor, and what of the settings it needs otherwise. */
  async bootGuest(guest: Guest | null, change: Partial<Settings> = {}): Promise<void> {
    this.#store.setState({ guest })
    await this.rebuild(change)
  }

  /** Checks the machine's invariants at rest and says what came of it. */
  async checkInvariants(): Promise<void> {
    const violations = await this.api.checkInvariants()
    this.notify(
      violations.length === 0
        ? {
            severity: 'info',
            title: 'All invariants hold',
            detail: 'Frames, mappings, stage 2, slots and tables agree.',
          }
        : { severity: 'error', title: 'Invariants are broken', detail: violations.join('; ') },
    )
  }

  /** Ends the hypervisor worker without a word to it, as a crash would. */
  crash(): void {
    this.#hypervisor?.terminate('terminated for the crash test')
  }

  notify(notice: MachineNotice): void {
    const entry = { ...notice, id: ++this.#notice }
    this.#store.setState(({ notices }) => ({ notices: [...notices, entry].slice(-MAX_NOTICES) }))
    if (notice.severity === 'info') setTimeout(() => this.dismiss(entry.id), INFO_MS)
  }

  dismiss(id: number): void {
    this.#store.setState(({ notices }) => ({ notices: notices.filter((notice) => notice.id !== id) }))
  }

  #config(settings: Settings, guest: Guest | null, files: GuestFiles): MachineConfig {
    const isPrivate = guest?.private ?? true
    return {
      ...files,
      hostBytes: hostBytesFor(settings, isPrivate),
      ramBytes: settings.ramMiB * MIB,
      vcpus: settings.vcpus,
      append: guest?.append ?? '',
      private: isPrivate,
      host: settings.host,
    }
  }

  async #load(guest: Guest | null): Promise<GuestFiles> {
    if (guest) return guest.load((text) => this.#step(text))
    this.#monitor ??= await fetchBytes(MONITOR_URL, 'the guest monitor')
    return { kernel: this.#monitor }
  }

  #step(step: string): void {
    this.#store.setState({ session: { phase: 'starting', step } })
  }

  #failed(error: unknown, settings: Settings): void {
    const message = error instanceof Error ? error.message : String(error)
    const ramMiB = settings.ramMiB / 2
    const refused = error instanceof Error && error.name === 'HostMemoryRefused' && ramMiB >= 32
    this.#store.setState({
      session: { phase: 'failed', message, smaller: refused ? { ...settings, ramMiB } : null },
    })
    this.#end('the machine could not be made')
  }

  #died(cause: string): void {
    if (this.#store.getState().session.phase === 'starting') {
      this.#store.setState({
        session: { phase: 'failed', message: `The hypervisor worker failed: ${cause}`, smaller: null },
      })
      return
    }
    this.#hypervisor?.terminate(cause)
    this.#hypervisor = null
    this.#store.setState({ session: { phase: 'dead', cause } })
  }

  #end(cause: string): void {
    this.#hypervisor?.terminate(cause)
    this.#hypervisor = null
    this.machine = null
  }

  /** The frame's reading half: run state, heartbeat, tables, traces. */
  #read(now: number, elapsed: number): Found {
    const { machine } = this
    if (!machine) return { changed: false, logged: false }
    const { session, run } = this.#store.getState()
    const { view, sampler, log } = machine
    if (session.phase === 'live') {
      const beat = view.header(Header.HEARTBEAT)
      if (beat !== this.#beat || elapsed > OWN_PAUSE_MS) {
        this.#beat = beat
        this.#beatAt = now
      } else if (now - this.#beatAt > HEARTBEAT_LIMIT_MS) {
        this.#died(`no heartbeat for ${((now - this.#beatAt) / 1_000).toFixed(1)} s`)
      }
      const state = view.header(Header.MACHINE_STATE)
      if (state !== run) this.#store.setState({ run: state })
    }
    const moved = sampler.sample()
    const logged = log.read()
    // Whoever asked for less motion sees a change at once and without a flash.
    const lit = sampler.fade(this.#still.matches ? Number.POSITIVE_INFINITY : elapsed)
    if (lit) this.#scheduler.invalidate()
    return { changed: moved || lit, logged }
  }
}
