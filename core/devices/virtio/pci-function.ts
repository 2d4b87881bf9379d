// A virtio device as a function on the PCI bus (virtio 1.2, chapter 4.1): identity, capabilities that locate its
// structures in BAR 0, and the interrupt pin.

import type { KernelTask } from '../../host/kernel-task.ts'
import type { MmioDevice } from '../mmio-bus.ts'
import { ConfigSpace } from '../pci/config-space.ts'
import type { PciFunction } from '../pci/function.ts'
import { PCI_CAP_ID_VENDOR, PCI_PIN_INTA, PciCommand } from '../pci/registers.ts'
import { CommonConfig } from './common-config.ts'
import type { VirtioDevice } from './device.ts'
import { COMMON_BYTES, VIRTIO_DEVICE_ID_BASE, VIRTIO_VENDOR_ID, VirtioCap } from './registers.ts'
import { type VirtioOptions, VirtioTransport } from './transport.ts'

/** BAR 0: a page for each structure, so that a guest may map them apart. */
const Region = { COMMON: 0x0000, ISR: 0x1000, DEVICE: 0x2000, NOTIFY: 0x3000, SIZE: 0x4000 } as const
const REGION_MASK = 0x3000

/** Bytes between two queues' notification registers. */
const NOTIFY_MULTIPLIER = 4

/** A capability's fields after id and next pointer, as offsets from its start (struct virtio_pci_cap). */
const CapField = { LENGTH: 2, TYPE: 3, BAR: 4, OFFSET: 8, SIZE: 12, EXTRA: 16 } as const

const capabilityBody = (type: number, offset: number, size: number, extra?: number): Uint8Array => {
  const length = CapField.EXTRA + (extra === undefined ? 0 : 4)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  bytes[CapField.LENGTH] = length
  bytes[CapField.TYPE] = type
  view.setUint32(CapField.OFFSET, offset, true)
  view.setUint32(CapField.SIZE, size, true)
  if (extra !== undefined) view.setUint32(CapField.EXTRA, extra, true)
  return bytes.subarray(2)
}

export class VirtioPciFunction implements PciFunction {
  readonly config: ConfigSpace
  readonly bar0Size = Region.SIZE
  readonly bar0: MmioDevice = {
    load: (offset, length) => this.#load(offset, length),
    store: (offset, length, value) => this.transport.locked(() => this.#store(offset, length, value)),
  }

  readonly transport: VirtioTransport
  readonly #common: CommonConfig
  /** Where the capability lies that accesses BAR 0 through configuration space. */
  readonly #window: number

  /** `options.setLevel` drives the line of pin INTA. */
  constructor(device: VirtioDevice, options: VirtioOptions) {
    this.config = new ConfigSpace({
      vendor: VIRTIO_VENDOR_ID,
      device: VIRTIO_DEVICE_ID_BASE + device.type,
      subsystemVendor: VIRTIO_VENDOR_ID,
      subsystem: VIRTIO_DEVICE_ID_BASE + device.type,
      revision: 1,
      classCode: device.classCode,
      pin: PCI_PIN_INTA,
    })
    this.config.addBar0(Region.SIZE)
    const add = (type: number, offset: number, size: number, extra?: number): number =>
      this.config.addCapability(PCI_CAP_ID_VENDOR, capabilityBody(type, offset, size, extra))
    add(VirtioCap.COMMON, Region.COMMON, COMMON_BYTES)
    add(VirtioCap.ISR, Region.ISR, 1)
    if (device.config.length > 0) add(VirtioCap.DEVICE, Region.DEVICE, device.config.length)
    const queues = device.queueSizes.length
    add(VirtioCap.NOTIFY, Region.NOTIFY, queues * NOTIFY_MULTIPLIER, NOTIFY_MULTIPLIER)
    this.#window = add(VirtioCap.PCI, 0, 0, 0)
    this.config.makeWritable(this.#window + CapField.BAR, 1)
    this.config.makeWritable(this.#window + CapField.OFFSET, 8)
    this.transport = new VirtioTransport(device, options)
    this.#common = new CommonConfig(this.transport)
  }

  loadConfig(offset: number, length: number): number {
    if (offset === this.#window + CapField.EXTRA) {
      const target = this.#windowTarget(length)
      return target === null ? 0 : this.#load(target, length)
    }
    this.config.interruptStatus = this.transport.isr !== 0
    return this.config.load(offset, length)
  }

  storeConfig(offset: number, length: number, value: number): KernelTask<void> | null {
    if (offset === this.#window + CapField.EXTRA) {
      const target = this.#windowTarget(length)
      return target === null ? null : this.bar0.store(target, length, value)
    }
    this.config.store(offset, length, value)
    this.transport.masked = (this.config.command & PciCommand.INTX_DISABLE) !== 0
    return null
  }

  /** Where in BAR 0 the window stands (4.1.4.9); null when the driver set it wrong. */
  #windowTarget(length: number): number | null {
    const field = (at: number): number => this.config.load(this.#window + at, 4)
    const [bar, offset, size] = [field(CapField.BAR) & 0xff, field(CapField.OFFSET), field(CapField.SIZE)]
    const inside = bar === 0 && offset % length === 0 && offset + length <= Region.SIZE
    return inside && size === length ? offset : null
  }

  #load(offset: number, length: number): number {
    const register = offset & ~REGION_MASK
    switch (offset & REGION_MASK) {
      case Region.COMMON:
        return this.#common.load(register, length)
      case Region.ISR:
        return register === 0 && length === 1 ? this.transport.takeIsr() : 0
      case Region.DEVICE:
        return this.#loadDevice(register, length)
      default:
        return 0
    }
  }

  *#store(offset: number, length: number, value: number): KernelTask<void> {
    const register = offset & ~REGION_MASK
    switch (offset & REGION_MASK) {
      case Region.COMMON:
        yield* this.#common.store(register, length, value)
        break
      case Region.DEVICE:
        this.#storeDevice(register, length, value)
        break
      case Region.NOTIFY:
        if (register % NOTIFY_MULTIPLIER === 0) yield* this.transport.notify(register / NOTIFY_MULTIPLIER)
        break
      // The interrupt's causes are read-only.
    }
  }

  #loadDevice(offset: number, length: number): number {
    const { config } = this.transport.device
    let value = 0
    for (let i = length - 1; i >= 0; i--) value = value * 256 + (config[offset + i] ?? 0)
    return value
  }

  #storeDevice(offset: number, length: number, value: number): void {
    const { config, writableConfig } = this.transport.device
    const [start, end] = writableConfig
    for (let i = 0; i < length; i++)
      if (offset + i >= start && offset + i < end) config[offset + i] = (value >>> (8 * i)) & 0xff
  }
}
