// The assembled machine: emulated host, KVM, the built-in VMM and its vCPU loops behind the typed control API.
//
// Lives in the hypervisor thread. The platform gives it vCPU threads, a timer and someone to call `pump`.

import type { PlatformDevices } from '../devices/platform-devices.ts'
import type { BlockBackend } from '../devices/virtio-blk/backend.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import { VcpuCommand, VcpuDoorbell, VcpuMode, VcpuWords } from '../hart/requests.ts'
import { Host } from '../host/host.ts'
import { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Header, vcpuBlock } from '../host/layout.ts'
import {
  type HostResult,
  hostAllocate,
  hostConvert,
  hostPin,
  hostPunchHole,
  hostRead,
  hostUnpin,
  hostWrite,
} from '../vmm/host-actions.ts'
import { type GuestPlacement, placeGuest } from '../vmm/placement.ts'
import type { VcpuEnd, VcpuLoopHooks } from '../vmm/vcpu-hooks.ts'
import type { VcpuRunner, Vmm } from '../vmm/vmm.ts'
import {
  type CompactionReport,
  type ConversionPolicy,
  type HostState,
  type KernelTaskState,
  type MachineApi,
  type MachineConfig,
  type MachineEvents,
  MachineState,
  type MachineStats,
  type PageInspection,
  type PressureReport,
  type TaskMode,
} from './api.ts'
import {
  checkBalloon,
  checkConfig,
  checkFrames,
  checkGuestRange,
  checkTaskMode,
  checkTerminal,
} from './checks.ts'
import { openDisk } from './disk.ts'
import { GuestDevices, pciSlots } from './guest-devices.ts'
import { HostPanel } from './host-panel.ts'
import { inspectPage } from './inspect.ts'
import { makeVmm } from './make-vmm.ts'
import { Notices } from './notices.ts'
import type { Platform, Pumped } from './platform.ts'
import { machineStats } from './stats.ts'
import { attachDevices, TIMEBASE_HZ } from './threads.ts'

const SEED_BYTES = 32

/** What lives from one power-on to the next. */
interface Incarnation {
  readonly host: Host
  readonly vmm: Vmm
  readonly panel: HostPanel
  readonly guestDevices: GuestDevices
  readonly loops: readonly VcpuRunner[]
}

/** What lives as long as the machine. */
interface Lasting {
  readonly config: MachineConfig
  readonly events: MachineEvents
  readonly memory: HostMemory
  readonly devices: PlatformDevices
  readonly placement: GuestPlacement
  readonly disk: BlockBackend | null
}

interface Built extends Lasting {
  incarnation: Incarnation
}

export class Machine implements MachineApi, Pumped {
  readonly #platform: Platform
  readonly #now: () => number
  #built: Built | null = null
  #policy: ConversionPolicy = 'accept'
  #taskMode: TaskMode = { kind: 'run' }
  /** The changes of the machine's life, one after the other. */
  #changes: Promise<void> = Promise.resolve()
  #pausing = true
  /** vCPU loops under way. */
  #running = 0
  #runningSince = 0
  #runTicks = 0

  constructor(platform: Platform) {
    this.#platform = platform
    this.#now = platform.createClock(platform.epoch)
  }

  async create(config: MachineConfig, events: MachineEvents): Promise<WebAssembly.Memory> {
    if (this.#built) throw new Error('this hypervisor has its machine already: start another one')
    checkConfig(config)
    const placement = placeGuest({
      ...config,
      rngSeed: this.#platform.randomBytes(SEED_BYTES),
      pciSlots: pciSlots(config.virtio ?? {}),
    })
    const disk = await openDisk(this.#platform, config.virtio?.disk)
    const memory = HostMemory.create(config.hostBytes)
    const threads = { memory: memory.memory, vcpuCount: config.vcpus, epoch: this.#platform.epoch }
    await Promise.all([
      this.#platform.spawnTimer(threads),
      ...Array.from({ length: config.vcpus }, (_, index) =>
        this.#platform.spawnVcpu({
          ...threads,
          index,
          hypervisor: config.host.hypervisor,
          cores: this.#platform.cores,
        }),
      ),
    ])
    const devices = attachDevices(memory, config.vcpus)
    const lasting = { config, events, memory, devices, placement, disk }
    this.#built = { ...lasting, incarnation: this.#powerOn(lasting) }
    this.#setState(MachineState.paused)
    this.#platform.startPump(memory.buffer, this)
    return memory.memory
  }

  run(): Promise<void> {
    return this.#serially(() => this.#run())
  }

  pause(): Promise<void> {
    return this.#serially(() => this.#pause())
  }

  reset(): Promise<void> {
    return this.#serially(() => this.#reset())
  }

  async setTaskMode(mode: TaskMode): Promise<void> {
    checkTaskMode(mode)
    this.#taskMode = mode
    this.#machine().incarnation.host.scheduler.setMode(mode)
    this.#ring()
  }

  async setPolicy(policy: ConversionPolicy): Promise<void> {
    this.#policy = policy
  }

  async consoleInput(bytes: Uint8Array): Promise<number> {
    return this.#machine().devices.uart.receive(bytes)
  }

  async virtioConsoleInput(bytes: Uint8Array): Promise<number> {
    return this.#task('console input', ({ guestDevices }) => guestDevices.typed(bytes))
  }

  async resizeVirtioConsole(columns: number, rows: number): Promise<void> {
    checkTerminal(columns, rows)
    this.#machine().incarnation.guestDevices.resized(columns, rows)
  }

  async setBalloon(bytes: number): Promise<void> {
    const { config, incarnation } = this.#machine()
    checkBalloon(bytes, config.ramBytes)
    incarnation.guestDevices.ballooned(bytes)
  }

  hostRead(gpa: number, length: number): Promise<HostResult<Uint8Array>> {
    return this.#guestTask('host read', gpa, length, ({ vmm }) => hostRead(vmm, gpa, length))
  }

  hostWrite(gpa: number, bytes: Uint8Array): Promise<HostResult<number>> {
    return this.#guestTask('host write', gpa, bytes.length, ({ vmm }) => hostWrite(vmm, gpa, bytes))
  }

  hostConvert(gpa: number, size: number, toPrivate: boolean): Promise<HostResult<number>> {
    return this.#guestTask('host convert', gpa, size, ({ vmm }) => hostConvert(vmm, gpa, size, toPrivate))
  }

  hostPunchHole(gpa: number, size: number): Promise<HostResult<number>> {
    return this.#guestTask('host punch hole', gpa, size, ({ vmm }) => hostPunchHole(vmm, gpa, size))
  }

  hostAllocate(gpa: number, size: number): Promise<HostResult<number>> {
    return this.#guestTask('host allocate', gpa, size, ({ vmm }) => hostAllocate(vmm, gpa, size))
  }

  hostPin(gpa: number): Promise<HostResult<number>> {
    return this.#guestTask('host pin', gpa, 1, ({ vmm }) => hostPin(vmm, gpa))
  }

  hostUnpin(gpa: number): Promise<HostResult<number>> {
    return this.#guestTask('host unpin', gpa, 1, ({ vmm }) => hostUnpin(vmm, gpa))
  }

  hostPoison(gpa: number): Promise<HostResult<number>> {
    return this.#guestTask('memory failure', gpa, 1, ({ panel }) => panel.poison(gpa))
  }

  hostDrain(): Promise<HostResult<number>> {
    return this.#task('drain LRU', ({ panel }) => panel.drain())
  }

  hostCompact(): Promise<CompactionReport> {
    return this.#task('kcompactd', ({ panel }) => panel.compact())
  }

  async setPressure(keepFree: number | null): Promise<PressureReport> {
    checkFrames(keepFree)
    return this.#task('memory hog', ({ panel }) => panel.press(keepFree))
  }

  async hostState(): Promise<HostState> {
    return this.#machine().incarnation.panel.state()
  }

  inspect(gpa: number, length: number): Promise<PageInspection> {
    return this.#guestTask('inspect', gpa, length, ({ vmm }) => inspectPage(vmm, gpa, length))
  }

  async stats(): Promise<MachineStats> {
    const { memory, config, incarnation } = this.#machine()
    const running = this.#running > 0 ? this.#now() - this.#runningSince : 0
    const seconds = (this.#runTicks + running) / TIMEBASE_HZ
    const devices = incarnation.guestDevices.stats()
    return machineStats(memory, incarnation.vmm.row, config.vcpus, seconds, devices)
  }

  async kernelTasks(): Promise<readonly KernelTaskState[]> {
    const { tasks } = this.#machine().incarnation.host.scheduler
    return tasks.map(({ name, step, runnable }) => ({ name, at: step?.at ?? null, waiting: !runnable }))
  }

  checkInvariants(): Promise<readonly string[]> {
    return this.#serially(async () => {
      const { host, vmm } = this.#machine().incarnation
      const running = this.#state() === MachineState.running
      await this.#pause()
      while (host.scheduler.tasks.length > 0) await this.#turn()
      const violations = vmm.violations()
      if (running) this.#run()
      return violations
    })
  }

  pump(): boolean {
    if (!this.#built) return false
    const { host, guestDevices } = this.#built.incarnation
    const { scheduler } = host
    guestDevices.poll()
    const before = scheduler.progress
    scheduler.pump()
    return scheduler.progress !== before
  }

  hasCoreToSpare(): boolean {
    const vcpus = this.#built?.incarnation.vmm.vcpus ?? []
    let running = 0
    for (const { vcpu } of vcpus) if (vcpu.hart.words.load(Vcpu.MODE) === VcpuMode.IN_GUEST_MODE) running++
    return running < this.#platform.cores
  }

  wantsPumpIn(): number {
    if (!this.#built) return Number.POSITIVE_INFINITY
    const { host, guestDevices } = this.#built.incarnation
    const { scheduler } = host
    if (scheduler.mode.kind === 'run' && scheduler.gaveWay) return 0
    const devices = Math.max(1, guestDevices.wantsPollIn)
    if (scheduler.mode.kind !== 'slow' || scheduler.tasks.length === 0) return devices
    return Math.min(devices, Math.max(1, scheduler.nextStepAt - Date.now()))
  }

  /** One change of the machine's life at a time: what comes meanwhile waits. */
  #serially<T>(change: () => T | Promise<T>): Promise<T> {
    const result = this.#changes.then(change)
    this.#changes = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }

  #run(): void {
    const { incarnation } = this.#machine()
    const state = this.#state()
    if (state === MachineState.off || state === MachineState.failed)
      throw new Error('the machine has ended: reset it first')
    if (state === MachineState.running) return
    this.#pausing = false
    this.#runningSince = this.#now()
    this.#setState(MachineState.running)
    for (const [index, loop] of incarnation.loops.entries()) {
      this.#running++
      const task = incarnation.host.scheduler.spawn(`vcpu${index}`, loop.run())
      task.result().then(
        (end) => this.#ended(end),
        (error: unknown) => this.#ended({ kind: 'failed', message: describe(error) }),
      )
    }
    this.#ring()
  }

  async #pause(): Promise<void> {
    this.#stopVcpus()
    while (this.#running > 0) await this.#turn()
    if (this.#state() === MachineState.running) this.#setState(MachineState.paused)
  }

  async #reset(): Promise<void> {
    const built = this.#machine()
    const { config, memory } = built
    const { scheduler } = built.incarnation.host
    await this.#pause()
    // What the host process was doing ends before its host does.
    scheduler.setMode({ kind: 'run' })
    while (scheduler.tasks.length > 0) await this.#turn()
    // The hypervisor's own liveness word survives: only the machine is new.
    const heartbeat = memory.i32[Header.HEARTBEAT]
    memory.reset()
    memory.i32[Header.HEARTBEAT] = heartbeat
    await this.#resetThreads(memory, config.vcpus)
    this.#runTicks = 0
    built.incarnation = this.#powerOn(built)
    this.#setState(MachineState.paused)
  }

  /** Builds host, KVM and VMM in cleared memory and loads the guest. */
  #powerOn({ config, memory, devices, placement, events, disk }: Lasting): Incarnation {
    devices.reset()
    const host = new Host(memory, {
      nodes: config.host.nodes,
      clock: () => (this.#now() * 1e6) / TIMEBASE_HZ,
    })
    const vmm = makeVmm(host, config.host, { ...config, now: this.#now })
    host.scheduler.runSync(vmm.setUp(placement), 'vmm set-up')
    host.scheduler.setMode(this.#taskMode)
    const notices = new Notices(events.notice, () => (this.#now() * 1000) / TIMEBASE_HZ)
    host.scheduler.onFailure = (task) => notices.taskFailed(task.name, task.error)
    memory.i32[Header.PCI_BUS] = pciSlots(config.virtio ?? {}).length > 0 ? 1 : 0
    const guestDevices = new GuestDevices({
      vmm,
      devices,
      config: config.virtio ?? {},
      disk,
      notices,
      randomBytes: (count) => this.#platform.randomBytes(count),
    })
    const hooks: VcpuLoopHooks = {
      paused: () => this.#pausing,
      acceptsConversions: () => this.#policy === 'accept',
      consoleByte: (byte) => devices.uart.emit(byte),
      mmio: guestDevices.mmio,
      notices,
    }
    const loops = vmm.vcpus.map((_vcpu, index) => vmm.runner(index, hooks))
    return { host, vmm, panel: new HostPanel(host, vmm, config.host), guestDevices, loops }
  }

  /** A vCPU's loop returned. A guest's end stops the others; what they return then says no more. */
  #ended(end: VcpuEnd): void {
    const { events } = this.#machine()
    this.#running--
    if (this.#running === 0) this.#runTicks += this.#now() - this.#runningSince
    if (end.kind === 'paused' || this.#pausing) return
    this.#stopVcpus()
    if (end.kind === 'reset') {
      events.stopped({ state: 'reboot', message: 'the guest asked for a reboot' })
      void this.#serially(async () => {
        await this.#reset()
        this.#run()
      }).catch((error: unknown) => this.#failed(describe(error)))
      return
    }
    if (end.kind === 'failed') this.#failed(end.message)
    else if (end.reason !== 0)
      this.#failed(`the guest shut down and reported a failure (SRST reason ${end.reason})`)
    else {
      this.#setState(MachineState.off)
      events.stopped({ state: 'off', message: 'the guest powered off' })
    }
  }

  #failed(message: string): void {
    this.#setState(MachineState.failed)
    this.#machine().events.stopped({ state: 'failed', message })
  }

  /** Signals every vCPU's KVM_RUN; the loops then end. */
  #stopVcpus(): void {
    this.#pausing = true
    for (const { vcpu } of this.#machine().incarnation.vmm.vcpus) vcpu.hart.signal()
    this.#ring()
  }

  /** Has every vCPU thread prepare its cleared block. */
  async #resetThreads(memory: HostMemory, vcpus: number): Promise<void> {
    for (let index = 0; index < vcpus; index++) {
      const words = new VcpuWords(memory.buffer, vcpuBlock(memory.layout, index))
      words.store(Vcpu.COMMAND, VcpuCommand.RESET)
      words.notify(Vcpu.COMMAND)
      while (words.load(Vcpu.DOORBELL) !== VcpuDoorbell.RESET) await this.#turn()
      words.store(Vcpu.DOORBELL, VcpuDoorbell.NONE)
    }
  }

  /** Runs a task and resolves with its result. */
  #task<T>(name: string, task: (incarnation: Incarnation) => KernelTask<T>): Promise<T> {
    const { incarnation } = this.#machine()
    const result = incarnation.host.scheduler.spawn(name, task(incarnation)).result()
    this.#ring()
    return result
  }

  /** The same for a task about the bytes [gpa, gpa + size) of the guest. */
  async #guestTask<T>(
    name: string,
    gpa: number,
    size: number,
    task: (incarnation: Incarnation) => KernelTask<T>,
  ): Promise<T> {
    checkGuestRange(gpa, size)
    return this.#task(name, task)
  }

  #machine(): Built {
    if (!this.#built) throw new Error('no machine has been created')
    return this.#built
  }

  #state(): number {
    return Atomics.load(this.#machine().memory.i32, Header.MACHINE_STATE)
  }

  #setState(state: number): void {
    const { memory } = this.#machine()
    Atomics.store(memory.i32, Header.MACHINE_STATE, state)
    memory.bumpGeneration()
  }

  /** Wakes the pump: there is something to run. */
  #ring(): void {
    const { i32 } = this.#machine().memory
    Atomics.add(i32, Header.DOORBELL, 1)
    Atomics.notify(i32, Header.DOORBELL)
  }

  /** Lets the pump and the event loop go on. */
  async #turn(): Promise<void> {
    await new Promise<void>((resolve) => this.#platform.defer(resolve))
  }
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error))
