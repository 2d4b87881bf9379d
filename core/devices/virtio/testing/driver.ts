// The driver's side of a virtqueue, and of a device over PCI, for tests.

import { Host } from '../../../host/host.ts'
import { HostMemory } from '../../../host/host-memory.ts'
import type { KernelTask } from '../../../host/kernel-task.ts'
import { PciCommand, PciReg } from '../../pci/registers.ts'
import type { VirtioDevice } from '../device.ts'
import type { DriverFault } from '../device-memory.ts'
import { VirtioPciFunction } from '../pci-function.ts'
import { CommonReg, DescFlag, VirtioCap, VirtioStatus } from '../registers.ts'
import { GuestRam, RAM } from './guest-ram.ts'

export interface TestBuffer {
  readonly gpa: number
  readonly length: number
  readonly write?: boolean
}

/** Bytes of RAM that a queue of up to 64 descriptors takes. */
const QUEUE_BYTES = 0x800

export class DriverQueue {
  readonly size: number
  readonly descriptors: number
  readonly available: number
  readonly used: number
  readonly #ram: GuestRam
  #free = 0
  #added = 0
  #seen = 0

  /** `at`: where it lies (GPA). */
  constructor(ram: GuestRam, at: number, size: number) {
    this.#ram = ram
    this.size = size
    this.descriptors = at
    this.available = at + 16 * size
    this.used = at + 0x600
  }

  /** Adds a request without a kick; returns the index of its head. */
  add(buffers: readonly TestBuffer[]): number {
    const { view } = this.#ram
    const head = this.#free
    for (const [i, { gpa, length, write }] of buffers.entries()) {
      const index = this.#free
      this.#free = (this.#free + 1) % this.size
      const last = i === buffers.length - 1
      this.describe(index, gpa, length, (write ? DescFlag.WRITE : 0) | (last ? 0 : DescFlag.NEXT), this.#free)
    }
    view.setUint16(this.available - RAM + 4 + 2 * (this.#added % this.size), head, true)
    this.#added = (this.#added + 1) & 0xffff
    view.setUint16(this.available - RAM + 2, this.#added, true)
    return head
  }

  describe(index: number, gpa: number, length: number, flags: number, next: number): void {
    const { view } = this.#ram
    const at = this.descriptors - RAM + 16 * index
    view.setBigUint64(at, BigInt(gpa), true)
    view.setUint32(at + 8, length, true)
    view.setUint16(at + 12, flags, true)
    view.setUint16(at + 14, next, true)
  }

  /** What the device handed back since the last call. */
  takeUsed(): { head: number; written: number }[] {
    const { view } = this.#ram
    const found: { head: number; written: number }[] = []
    const index = view.getUint16(this.used - RAM + 2, true)
    for (; this.#seen !== index; this.#seen = (this.#seen + 1) & 0xffff) {
      const at = this.used - RAM + 4 + 8 * (this.#seen % this.size)
      found.push({ head: view.getUint32(at, true), written: view.getUint32(at + 4, true) })
    }
    return found
  }

  set noInterrupt(wanted: boolean) {
    this.#ram.view.setUint16(this.available - RAM, wanted ? 1 : 0, true)
  }
}

/** A driver that found its device on the bus; the BAR is placed at 0x40000000. */
export class TestDriver<T extends VirtioDevice> {
  readonly ram = new GuestRam()
  readonly function: VirtioPciFunction
  readonly device: T
  readonly stops: DriverFault[] = []
  readonly host = new Host(HostMemory.create(1))
  /** The interrupt line. */
  level = false
  queues: DriverQueue[] = []

  constructor(device: T) {
    this.device = device
    this.function = new VirtioPciFunction(device, {
      host: this.host,
      memory: this.ram,
      setLevel: (level) => {
        this.level = level
      },
      stopped: (_device, fault) => this.stops.push(fault),
    })
    this.run(this.function.storeConfig(PciReg.COMMAND, 2, PciCommand.MEMORY | PciCommand.MASTER))
  }

  run<R>(task: KernelTask<R> | null): R | null {
    return task ? this.host.scheduler.runSync(task) : null
  }

  /** Where a structure lies in BAR 0, by its capability. */
  structure(type: number): number {
    const { config } = this.function
    for (let at = config.load(PciReg.CAPABILITY_LIST, 1); at !== 0; at = config.load(at + 1, 1))
      if (config.load(at + 3, 1) === type) return config.load(at + 8, 4)
    throw new Error(`no capability of type ${type}`)
  }

  load(type: number, offset: number, length: number): number {
    return this.function.bar0.load(this.structure(type) + offset, length)
  }

  store(type: number, offset: number, length: number, value: number): void {
    this.run(this.function.bar0.store(this.structure(type) + offset, length, value))
  }

  common(offset: number, length: number): number {
    return this.load(VirtioCap.COMMON, offset, length)
  }

  setCommon(offset: number, length: number, value: number): void {
    this.store(VirtioCap.COMMON, offset, length, value)
  }

  get status(): number {
    return this.common(CommonReg.DEVICE_STATUS, 1)
  }

  set status(value: number) {
    this.setCommon(CommonReg.DEVICE_STATUS, 1, value)
  }

  /** Reads the causes of the interrupt, which lowers it. */
  takeIsr(): number {
    return this.load(VirtioCap.ISR, 0, 1)
  }

  kick(queue: number): void {
    this.store(VirtioCap.NOTIFY, 4 * queue, 2, queue)
  }

  accept(low: number, high = 1): void {
    this.setCommon(CommonReg.DRIVER_FEATURE_SELECT, 4, 0)
    this.setCommon(CommonReg.DRIVER_FEATURE, 4, low)
    this.setCommon(CommonReg.DRIVER_FEATURE_SELECT, 4, 1)
    this.setCommon(CommonReg.DRIVER_FEATURE, 4, high)
  }

  /** Resets the device and brings it up as a driver does, accepting all that it offers. */
  start(queueSize = 8): void {
    this.prepare(queueSize)
    this.status |= VirtioStatus.DRIVER_OK
  }

  /** All of `start` but the last step. */
  prepare(queueSize = 8): void {
    this.status = 0
    this.status = VirtioStatus.ACKNOWLEDGE | VirtioStatus.DRIVER
    this.setCommon(CommonReg.DEVICE_FEATURE_SELECT, 4, 0)
    this.accept(this.common(CommonReg.DEVICE_FEATURE, 4))
    this.status |= VirtioStatus.FEATURES_OK
    this.queues = this.device.queueSizes.map((_, index) => this.#setUpQueue(index, queueSize))
  }

  #setUpQueue(index: number, size: number): DriverQueue {
    const queue = new DriverQueue(this.ram, RAM + index * QUEUE_BYTES, size)
    this.ram.bytes.fill(0, index * QUEUE_BYTES, (index + 1) * QUEUE_BYTES)
    this.setCommon(CommonReg.QUEUE_SELECT, 2, index)
    this.setCommon(CommonReg.QUEUE_SIZE, 2, size)
    this.setCommon(CommonReg.QUEUE_DESC, 4, queue.descriptors)
    this.setCommon(CommonReg.QUEUE_DRIVER, 4, queue.available)
    this.setCommon(CommonReg.QUEUE_DEVICE, 4, queue.used)
    this.setCommon(CommonReg.QUEUE_ENABLE, 2, 1)
    return queue
  }
}
