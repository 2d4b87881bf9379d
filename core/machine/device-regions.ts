// The guest's device registers on the GPA axis, for whoever draws it.

import { DOORBELL_BASE, DOORBELL_SIZE, PLIC_BASE, UART_BASE, UART_SIZE } from '../devices/memory-map.ts'
import { PLIC_SIZE } from '../devices/plic/registers.ts'

export interface DeviceRegion {
  readonly name: string
  /** First byte (GPA). */
  readonly base: number
  /** Bytes. */
  readonly size: number
}

/** In the order of their addresses. */
export const deviceRegions: readonly DeviceRegion[] = [
  { name: 'PLIC', base: PLIC_BASE, size: PLIC_SIZE },
  { name: 'UART ns16550a', base: UART_BASE, size: UART_SIZE },
  { name: 'Doorbell', base: DOORBELL_BASE, size: DOORBELL_SIZE },
]
