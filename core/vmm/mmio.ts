// The VMM's answer to a guest's access of its devices, by whichever hypervisor it exits.

import type { Doorbell } from '../devices/doorbell/device.ts'
import { DOORBELL_BASE, DOORBELL_SIZE } from '../devices/memory-map.ts'
import type { MmioBus } from '../devices/mmio-bus.ts'
import { SbiError } from '../hart/sbi.ts'
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

/** The doorbell is the vCPU's own; every other device is on the VMM's bus. */
export function* serveMmio(bus: MmioBus, doorbell: Doorbell, exit: MmioExit): KernelTask<void> {
  const { gpa, length, write, low, high } = exit.mmio
  const offset = gpa - DOORBELL_BASE
  if (offset >= 0 && offset < DOORBELL_SIZE) {
    if (write) doorbell.store(offset, length, [low, high])
    else exit.setMmioData(...(yield* doorbell.load(offset, length)))
  } else if (write) yield* bus.store(gpa, length, low, high)
  else exit.setMmioData(...bus.load(gpa, length))
}

/** The doorbell's answer where there is nothing that it could convert. */
// biome-ignore lint/correctness/useYield: nobody needs to be asked
export function* notSupported(): KernelTask<number> {
  return SbiError.NOT_SUPPORTED
}
