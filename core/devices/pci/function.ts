// What is in a slot of the PCI bus: a function with its configuration space, and memory behind BAR 0.

import type { KernelTask } from '../../host/kernel-task.ts'
import type { MmioDevice } from '../mmio-bus.ts'
import type { ConfigSpace } from './config-space.ts'

export interface PciFunction {
  readonly config: ConfigSpace
  /** Bytes that BAR 0 decodes; 0: it has none. */
  readonly bar0Size: number
  /** What BAR 0 decodes to. */
  readonly bar0: MmioDevice
  /** A load from configuration space, below PCI_CONFIG_BYTES. */
  loadConfig(offset: number, length: number): number
  /** Returns what is left to do for it, or null. */
  storeConfig(offset: number, length: number, value: number): KernelTask<void> | null
}
