// The VMM's answer to a guest's access of its devices, by whichever hypervisor it exits.

import type { MmioBus } from '../devices/mmio-bus.ts'
import type { KernelTask } from '../host/kernel-task.ts'

/** An exit that describes the access and takes the answer. */
export interface MmioExit {
  readonly mmio: {
    readonly gpa: number
    readonly length: number
    readonly write: boolean
    readonly low: number
    readonly high: number
  }
  setMmioData(low: number, high: number): void
}

export function* serveMmio(bus: MmioBus, exit: MmioExit): KernelTask<void> {
  const { gpa, length, write, low, high } = exit.mmio
  if (write) yield* bus.store(gpa, length, low, high)
  else exit.setMmioData(...bus.load(gpa, length))
}
