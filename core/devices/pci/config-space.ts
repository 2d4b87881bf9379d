// A function's configuration space: bytes, of which the guest may change some bits.
//
// A base address register is sized by writing ones and seeing which stay: its low bits are simply not writable.

import { PCI_CONFIG_BYTES, PciCommand, PciReg, PciStatus } from './registers.ts'

export interface PciIdentity {
  readonly vendor: number
  readonly device: number
  readonly subsystemVendor: number
  readonly subsystem: number
  readonly revision: number
  /** Class, subclass and programming interface, as 0xCCSSPP. */
  readonly classCode: number
  /** Interrupt pin, 0 for none. */
  readonly pin: number
}

export class ConfigSpace {
  readonly bytes = new Uint8Array(PCI_CONFIG_BYTES)
  /** A set bit can be changed by the guest. */
  readonly #writable = new Uint8Array(PCI_CONFIG_BYTES)
  readonly #view = new DataView(this.bytes.buffer)
  readonly #mask = new DataView(this.#writable.buffer)
  /** Where the next capability goes, and where its address is to be written. */
  #nextCapability: number = PciReg.HEADER_END
  #lastPointer: number = PciReg.CAPABILITY_LIST

  constructor(identity: PciIdentity) {
    const view = this.#view
    view.setUint16(PciReg.VENDOR_ID, identity.vendor, true)
    view.setUint16(PciReg.DEVICE_ID, identity.device, true)
    view.setUint32(PciReg.REVISION_ID, (identity.classCode << 8) | identity.revision, true)
    view.setUint16(PciReg.SUBSYSTEM_VENDOR_ID, identity.subsystemVendor, true)
    view.setUint16(PciReg.SUBSYSTEM_ID, identity.subsystem, true)
    view.setUint8(PciReg.INTERRUPT_PIN, identity.pin)
    const commands = PciCommand.MEMORY | PciCommand.MASTER | PciCommand.INTX_DISABLE
    this.#mask.setUint16(PciReg.COMMAND, commands, true)
    this.#mask.setUint8(PciReg.INTERRUPT_LINE, 0xff)
  }

  get command(): number {
    return this.#view.getUint16(PciReg.COMMAND, true)
  }

  /** What the status register says of the function's interrupt. */
  set interruptStatus(pending: boolean) {
    const status = this.#view.getUint16(PciReg.STATUS, true) & ~PciStatus.INTERRUPT
    this.#view.setUint16(PciReg.STATUS, status | (pending ? PciStatus.INTERRUPT : 0), true)
  }

  /** The function decodes `size` bytes (a power of two, at least 16) of memory at BAR 0. */
  addBar0(size: number): void {
    this.#mask.setUint32(PciReg.BASE_ADDRESS_0, -size >>> 0, true)
  }

  /** Where the guest placed BAR 0; it is decoded while the command register says so. */
  get bar0(): number {
    return this.#view.getUint32(PciReg.BASE_ADDRESS_0, true)
  }

  /** Appends a capability whose bytes after id and next pointer are `body`; returns its offset. */
  addCapability(id: number, body: Uint8Array): number {
    const at = this.#nextCapability
    this.bytes[this.#lastPointer] = at
    this.bytes[at] = id
    this.bytes.set(body, at + 2)
    this.#lastPointer = at + 1
    this.#nextCapability = at + ((2 + body.length + 3) & ~3)
    this.bytes[PciReg.STATUS] |= PciStatus.CAPABILITIES
    return at
  }

  /** The guest may change the bytes [start, start + count). */
  makeWritable(start: number, count: number): void {
    this.#writable.fill(0xff, start, start + count)
  }

  /** A load of 1, 2 or 4 bytes at an offset that is a multiple of that. */
  load(offset: number, length: number): number {
    let value = 0
    for (let i = length - 1; i >= 0; i--) value = value * 256 + this.bytes[offset + i]
    return value
  }

  store(offset: number, length: number, value: number): void {
    for (let i = 0; i < length; i++) {
      const mask = this.#writable[offset + i]
      const byte = (value >>> (8 * i)) & 0xff
      this.bytes[offset + i] = (this.bytes[offset + i] & ~mask) | (byte & mask)
    }
  }
}
