// The state that a virtio driver and its device share, whatever bus is between them: status, features, queues,
// interrupt causes (virtio 1.2, chapters 2 and 3).
//
// A driver that breaks the rules, or gives memory that cannot be reached, stops its device: DEVICE_NEEDS_RESET, a
// configuration interrupt, a notice, and no more work until it resets the device. The lock lets one task in at a time.

import type { Host } from '../../host/host.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { Mutex } from '../../host/locks.ts'
import type { VirtioDevice, VirtioPort } from './device.ts'
import { type DeviceMemory, DriverFault } from './device-memory.ts'
import { VIRTIO_F_VERSION_1, VirtioIsr, VirtioStatus } from './registers.ts'
import { SplitQueue } from './split-queue.ts'

export interface VirtioOptions {
  readonly host: Host
  readonly memory: DeviceMemory
  /** Drives the device's interrupt line. */
  setLevel(level: boolean): void
  /** A device stopped. */
  stopped(device: string, fault: DriverFault): void
}

/** Feature bits as two words of 32. */
type Features = [low: number, high: number]

const featureWords = (bits: readonly number[]): Features => {
  const words: Features = [0, 0]
  for (const bit of bits) words[bit >> 5] |= 1 << (bit & 31)
  return words
}

export class VirtioTransport implements VirtioPort {
  readonly device: VirtioDevice
  readonly queues: readonly SplitQueue[]
  readonly #o: VirtioOptions
  readonly #lock: Mutex
  readonly #offered: Features
  readonly #accepted: Features = [0, 0]
  #status = 0
  #generation = 0
  #isr = 0
  #masked = false

  constructor(device: VirtioDevice, options: VirtioOptions) {
    this.device = device
    this.#o = options
    this.#lock = new Mutex(options.host, `${device.name}->lock`)
    this.#offered = featureWords([VIRTIO_F_VERSION_1, ...device.features])
    this.queues = device.queueSizes.map((size) => new SplitQueue(options.memory, size))
  }

  get live(): boolean {
    const wanted = VirtioStatus.DRIVER_OK | VirtioStatus.FEATURES_OK
    const bad = VirtioStatus.NEEDS_RESET | VirtioStatus.FAILED
    return (this.#status & (wanted | bad)) === wanted
  }

  get status(): number {
    return this.#status
  }

  /** Counts changes of the configuration, modulo 256. */
  get generation(): number {
    return this.#generation
  }

  /** Causes of the interrupt. */
  get isr(): number {
    return this.#isr
  }

  /** Runs `task` with the device's lock held; what it hands back to the driver is announced after it. */
  *locked<T>(task: () => KernelTask<T>): KernelTask<T> {
    yield* this.#lock.lock()
    try {
      return yield* task()
    } finally {
      this.#lock.unlock()
    }
  }

  /** Has the device do something of its own accord: like `locked`, and nothing unless the driver is ready. */
  *act(task: () => KernelTask<void>): KernelTask<void> {
    yield* this.locked(() => this.#guarded(task))
  }

  queue(index: number): SplitQueue {
    return this.queues[index]
  }

  negotiated(feature: number): boolean {
    return (this.#accepted[feature >> 5] & (1 << (feature & 31))) !== 0
  }

  configChanged(): void {
    this.#generation = (this.#generation + 1) & 0xff
    if (this.live) this.#raise(VirtioIsr.CONFIG)
  }

  /** 32 of the feature bits offered; 0 beyond the 64 that there are. */
  offeredFeatures(word: number): number {
    return (this.#offered[word] ?? 0) >>> 0
  }

  acceptedFeatures(word: number): number {
    return (this.#accepted[word] ?? 0) >>> 0
  }

  /** What the driver accepts; fixed once it is agreed. */
  acceptFeatures(word: number, bits: number): void {
    if (word < this.#accepted.length && !(this.#status & VirtioStatus.FEATURES_OK))
      this.#accepted[word] = bits
  }

  /** The driver writes the status: bits are only added, and 0 resets the device. The lock is held. */
  *setStatus(value: number): KernelTask<void> {
    if (value === 0) {
      this.reset()
      return
    }
    const before = this.#status
    let status = before | (value & ~VirtioStatus.NEEDS_RESET)
    // FEATURES_OK that does not stay tells the driver that its choice will not do.
    if (status & ~before & VirtioStatus.FEATURES_OK && !this.#agreeable) status &= ~VirtioStatus.FEATURES_OK
    this.#status = status
    // A driver may fill its queues before it is ready, and need not kick them again.
    if (status & ~before & VirtioStatus.DRIVER_OK)
      for (const index of this.queues.keys()) yield* this.notify(index)
  }

  /** The driver kicks a queue. The lock is held. */
  *notify(index: number): KernelTask<void> {
    if (!this.queues[index]?.enabled) return
    yield* this.#guarded(() => this.device.serve(this, index))
  }

  /** The driver reads the interrupt's causes, which lowers it. */
  takeIsr(): number {
    const causes = this.#isr
    this.#isr = 0
    this.#drive()
    return causes
  }

  /** The bus keeps the interrupt from the line. */
  set masked(masked: boolean) {
    this.#masked = masked
    this.#drive()
  }

  reset(): void {
    this.device.reset()
    for (const queue of this.queues) queue.reset()
    this.#status = 0
    this.#accepted.fill(0)
    this.takeIsr()
  }

  get #agreeable(): boolean {
    const foreign = this.#accepted.some((word, index) => (word & ~this.#offered[index]) !== 0)
    return !foreign && this.negotiated(VIRTIO_F_VERSION_1)
  }

  /** Runs work on the queues of a device that is live; a driver's fault ends it and stops the device. */
  *#guarded(work: () => KernelTask<void>): KernelTask<void> {
    if (!this.live) return
    try {
      yield* work()
      let used = false
      for (const queue of this.queues) if (yield* queue.interrupts()) used = true
      if (used) this.#raise(VirtioIsr.QUEUE)
    } catch (error) {
      if (!(error instanceof DriverFault)) throw error
      this.#status |= VirtioStatus.NEEDS_RESET
      this.#raise(VirtioIsr.CONFIG)
      this.#o.stopped(this.device.name, error)
    }
  }

  #raise(cause: number): void {
    this.#isr |= cause
    this.#drive()
  }

  #drive(): void {
    this.#o.setLevel(this.#isr !== 0 && !this.#masked)
  }
}
