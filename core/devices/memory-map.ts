// The machine's guest physical memory map; the same as QEMU's `virt` machine where both have a device.

export const RTC_BASE = 0x00101000
export const RTC_SIZE = 0x1000
/** The real-time clock's interrupt source at the PLIC. */
export const RTC_IRQ = 11
export const PLIC_BASE = 0x0c000000
export const UART_BASE = 0x10000000
export const UART_SIZE = 0x100
/** The UART's interrupt source at the PLIC. */
export const UART_IRQ = 10
/** Project-own: conversions for a guest's user space (doorbell/registers.ts). */
export const DOORBELL_BASE = 0x10200000
export const DOORBELL_SIZE = 0x1000
/** Configuration space of PCI bus 0 (ECAM). */
export const PCI_ECAM_BASE = 0x30000000
export const PCI_ECAM_SIZE = 0x100000
/** Addresses for the guest to place BARs at. */
export const PCI_MMIO_BASE = 0x40000000
export const PCI_MMIO_SIZE = 0x40000000
/** Devices of the bus that have an interrupt: slots 1 to this, each with a source of its own. */
export const PCI_SLOTS = 8
/** Interrupt source at the PLIC of the PCI device in `slot` (its pin INTA). */
export const pciIrq = (slot: number): number => 15 + slot
export const RAM_BASE = 0x80000000
