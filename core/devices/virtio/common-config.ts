// The common configuration structure of virtio over PCI: registers of fixed width, read and written one by one.
//
// A driver accesses each with its own width (4.1.3.1); 64-bit ones in two halves. Any other access reads 0 and
// changes nothing.

import type { KernelTask } from '../../host/kernel-task.ts'
import { CommonReg, VIRTIO_MSI_NO_VECTOR } from './registers.ts'
import type { SplitQueue } from './split-queue.ts'
import type { VirtioTransport } from './transport.ts'

/** Register widths in bytes where they are not 2. */
const widths = new Map<number, number>([
  [CommonReg.DEVICE_FEATURE_SELECT, 4],
  [CommonReg.DEVICE_FEATURE, 4],
  [CommonReg.DRIVER_FEATURE_SELECT, 4],
  [CommonReg.DRIVER_FEATURE, 4],
  [CommonReg.DEVICE_STATUS, 1],
  [CommonReg.CONFIG_GENERATION, 1],
])

const WORD = 2 ** 32

/** A part of a queue by the register of its address. */
const parts = new Map<number, keyof SplitQueue['addresses']>([
  [CommonReg.QUEUE_DESC, 'descriptors'],
  [CommonReg.QUEUE_DRIVER, 'available'],
  [CommonReg.QUEUE_DEVICE, 'used'],
])

/** A register from which on all are addresses of 64 bits. */
const isAddress = (offset: number): boolean => offset >= CommonReg.QUEUE_DESC

const widthAt = (offset: number): number => (isAddress(offset) ? 4 : (widths.get(offset) ?? 2))

export class CommonConfig {
  readonly #transport: VirtioTransport
  #deviceFeatureSelect = 0
  #driverFeatureSelect = 0
  #queueSelect = 0

  constructor(transport: VirtioTransport) {
    this.#transport = transport
  }

  load(offset: number, length: number): number {
    return widthAt(offset) === length ? this.#load(offset) : 0
  }

  *store(offset: number, length: number, value: number): KernelTask<void> {
    if (widthAt(offset) !== length) return
    if (offset === CommonReg.DEVICE_STATUS) yield* this.#setStatus(value)
    else this.#store(offset, value)
  }

  get #queue(): SplitQueue | undefined {
    const queue = this.#transport.queues[this.#queueSelect]
    return queue?.maxSize ? queue : undefined
  }

  *#setStatus(value: number): KernelTask<void> {
    if (value === 0) {
      this.#deviceFeatureSelect = 0
      this.#driverFeatureSelect = 0
      this.#queueSelect = 0
    }
    yield* this.#transport.setStatus(value)
  }

  #load(offset: number): number {
    const transport = this.#transport
    if (isAddress(offset)) return this.#half(offset)
    switch (offset) {
      case CommonReg.DEVICE_FEATURE_SELECT:
        return this.#deviceFeatureSelect
      case CommonReg.DEVICE_FEATURE:
        return transport.offeredFeatures(this.#deviceFeatureSelect)
      case CommonReg.DRIVER_FEATURE_SELECT:
        return this.#driverFeatureSelect
      case CommonReg.DRIVER_FEATURE:
        return transport.acceptedFeatures(this.#driverFeatureSelect)
      case CommonReg.CONFIG_MSIX_VECTOR:
      case CommonReg.QUEUE_MSIX_VECTOR:
        return VIRTIO_MSI_NO_VECTOR
      case CommonReg.NUM_QUEUES:
        return transport.queues.length
      case CommonReg.DEVICE_STATUS:
        return transport.status
      case CommonReg.CONFIG_GENERATION:
        return transport.generation
      case CommonReg.QUEUE_SELECT:
        return this.#queueSelect
      case CommonReg.QUEUE_SIZE:
        return this.#queue?.size ?? 0
      case CommonReg.QUEUE_ENABLE:
        return this.#queue?.enabled ? 1 : 0
      case CommonReg.QUEUE_NOTIFY_OFF:
        return this.#queue ? this.#queueSelect : 0
      default:
        return 0
    }
  }

  #store(offset: number, value: number): void {
    if (offset === CommonReg.DEVICE_FEATURE_SELECT) this.#deviceFeatureSelect = value
    else if (offset === CommonReg.DRIVER_FEATURE_SELECT) this.#driverFeatureSelect = value
    else if (offset === CommonReg.DRIVER_FEATURE)
      this.#transport.acceptFeatures(this.#driverFeatureSelect, value)
    else if (offset === CommonReg.QUEUE_SELECT) this.#queueSelect = value
    else this.#storeQueue(offset, value)
  }

  /** A queue is set up before it is enabled, and only a reset disables it. */
  #storeQueue(offset: number, value: number): void {
    const queue = this.#queue
    if (!queue || queue.enabled) return
    if (offset === CommonReg.QUEUE_SIZE) {
      if (value > 0 && value <= queue.maxSize && (value & (value - 1)) === 0) queue.size = value
    } else if (offset === CommonReg.QUEUE_ENABLE) queue.enabled = value === 1
    else if (isAddress(offset)) this.#storeHalf(queue, offset, value)
  }

  #half(offset: number): number {
    const part = parts.get(offset & ~4)
    const address = (part && this.#queue?.addresses[part]) ?? 0
    return offset & 4 ? Math.floor(address / WORD) : address % WORD
  }

  #storeHalf(queue: SplitQueue, offset: number, value: number): void {
    const part = parts.get(offset & ~4)
    if (!part) return
    const address = queue.addresses[part]
    // Beyond 2^53 a low half is not exact; there is no memory there.
    queue.addresses[part] =
      offset & 4 ? value * WORD + (address % WORD) : Math.floor(address / WORD) * WORD + value
  }
}
