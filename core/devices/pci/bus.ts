// PCI bus 0: configuration accesses by the ECAM region, memory accesses to whatever BAR the guest placed there.

import type { KernelTask } from '../../host/kernel-task.ts'
import { PCI_MMIO_BASE } from '../memory-map.ts'
import type { MmioDevice } from '../mmio-bus.ts'
import type { PciFunction } from './function.ts'
import { HostBridge } from './host-bridge.ts'
import { Ecam, PCI_ABSENT, PCI_CONFIG_BYTES, PciCommand } from './registers.ts'

const absent = (length: number): number => PCI_ABSENT >>> (32 - 8 * length)

export class PciBus {
  /** The region at PCI_ECAM_BASE. */
  readonly ecam: MmioDevice = {
    load: (offset, length) => this.#loadConfig(offset, length),
    store: (offset, length, value) => this.#storeConfig(offset, length, value),
  }

  /** The region at PCI_MMIO_BASE. */
  readonly window: MmioDevice = {
    load: (offset, length) => this.#load(PCI_MMIO_BASE + offset, length),
    store: (offset, length, value) => this.#store(PCI_MMIO_BASE + offset, length, value),
  }

  /** Function 0 of each device, by slot. */
  readonly #functions: ReadonlyMap<number, PciFunction>

  /** `functions`: by slot, from 1. The host bridge comes by itself. */
  constructor(functions: ReadonlyMap<number, PciFunction>) {
    this.#functions = new Map<number, PciFunction>([[0, new HostBridge()], ...functions])
  }

  #loadConfig(offset: number, length: number): number {
    const target = this.#functionAt(offset)
    const register = offset & Ecam.REGISTER_MASK
    if (!target) return absent(length)
    // No extended capabilities: their space reads as zeroes.
    return register < PCI_CONFIG_BYTES ? target.loadConfig(register, length) : 0
  }

  #storeConfig(offset: number, length: number, value: number): KernelTask<void> | null {
    const register = offset & Ecam.REGISTER_MASK
    if (register >= PCI_CONFIG_BYTES) return null
    return this.#functionAt(offset)?.storeConfig(register, length, value) ?? null
  }

  #functionAt(offset: number): PciFunction | undefined {
    const first = (offset >> Ecam.FUNCTION_SHIFT) % 8 === 0
    return first ? this.#functions.get(offset >> Ecam.DEVICE_SHIFT) : undefined
  }

  #load(address: number, length: number): number {
    const target = this.#decoder(address)
    return target ? target.bar0.load(address - target.config.bar0, length) : absent(length)
  }

  #store(address: number, length: number, value: number): KernelTask<void> | null {
    const target = this.#decoder(address)
    return target ? target.bar0.store(address - target.config.bar0, length, value) : null
  }

  /** The function that decodes a memory address: of several, the one in the lowest slot. */
  #decoder(address: number): PciFunction | undefined {
    for (const target of this.#functions.values()) {
      const { bar0, command } = target.config
      if (command & PciCommand.MEMORY && address >= bar0 && address < bar0 + target.bar0Size) return target
    }
    return undefined
  }
}
