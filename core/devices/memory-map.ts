// The machine's guest physical memory map; the same as QEMU's `virt` machine where both have a device.

export const PLIC_BASE = 0x0c000000
export const UART_BASE = 0x10000000
export const UART_SIZE = 0x100
/** The UART's interrupt source at the PLIC. */
export const UART_IRQ = 10
/** Project-own: conversions for a guest's user space (doorbell/registers.ts). */
export const DOORBELL_BASE = 0x10200000
export const DOORBELL_SIZE = 0x1000
export const RAM_BASE = 0x80000000
