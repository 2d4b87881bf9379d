// The host bridge as the bus shows it, in slot 0: an identity and nothing behind it.

import type { MmioDevice } from '../mmio-bus.ts'
import { ConfigSpace } from './config-space.ts'
import type { PciFunction } from './function.ts'

/** The identity of QEMU's generic PCI Express host bridge, which guests expect to do nothing. */
const IDENTITY = {
  vendor: 0x1b36,
  device: 0x0008,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  revision: 0,
  classCode: 0x060000,
  pin: 0,
}

const nothing: MmioDevice = { load: () => 0, store: () => null }

export class HostBridge implements PciFunction {
  readonly config = new ConfigSpace(IDENTITY)
  readonly bar0Size = 0
  readonly bar0 = nothing

  loadConfig(offset: number, length: number): number {
    return this.config.load(offset, length)
  }

  storeConfig(offset: number, length: number, value: number): null {
    this.config.store(offset, length, value)
    return null
  }
}
