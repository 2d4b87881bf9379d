// The guest's device registers on the GPA axis, for whoever draws it.

import {
  DOORBELL_BASE,
  DOORBELL_SIZE,
  PCI_ECAM_BASE,
  PCI_ECAM_SIZE,
  PCI_MMIO_BASE,
  PCI_MMIO_SIZE,
  PLIC_BASE,
  RTC_BASE,
  RTC_SIZE,
  UART_BASE,
  UART_SIZE,
} from '../devices/memory-map.ts'
import { PLIC_SIZE } from '../devices/plic/registers.ts'
import { Header } from '../host/layout.ts'
import type { MachineView } from './view.ts'

export interface DeviceRegion {
  readonly name: string
  /** First byte (GPA). */
  readonly base: number
  /** Bytes. */
  readonly size: number
}

/** What every machine has, in the order of addresses. */
export const deviceRegions: readonly DeviceRegion[] = [
  { name: 'RTC goldfish', base: RTC_BASE, size: RTC_SIZE },
  { name: 'PLIC', base: PLIC_BASE, size: PLIC_SIZE },
  { name: 'UART ns16550a', base: UART_BASE, size: UART_SIZE },
  { name: 'Doorbell', base: DOORBELL_BASE, size: DOORBELL_SIZE },
]

const pciRegions: readonly DeviceRegion[] = [
  { name: 'PCI configuration', base: PCI_ECAM_BASE, size: PCI_ECAM_SIZE },
  { name: 'PCI memory', base: PCI_MMIO_BASE, size: PCI_MMIO_SIZE },
]

const withPci: readonly DeviceRegion[] = [...deviceRegions, ...pciRegions]

/** What the machine behind a view has, in the order of addresses. */
export const deviceRegionsOf = (view: MachineView): readonly DeviceRegion[] =>
  view.header(Header.PCI_BUS) === 0 ? deviceRegions : withPci
