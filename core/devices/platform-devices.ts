// The machine's devices in shared memory, wired together: UART -> PLIC -> the harts' external interrupt.
//
// Every worker makes its own instance over the same words; a vCPU thread uses it as its in-kernel device bus.

import { ByteRing } from './byte-ring.ts'
import { PLIC_BASE, UART_BASE, UART_IRQ, UART_SIZE } from './memory-map.ts'
import { Plic } from './plic/device.ts'
import { PLIC_SHARED_SIZE, PLIC_SIZE } from './plic/registers.ts'
import { Uart16550 } from './uart16550/device.ts'
import { UartLayout } from './uart16550/registers.ts'
import { CONSOLE_OUTPUT_BYTES } from './virtio-console/registers.ts'

/** Byte offset of the UART's words from the start of the device area; the PLIC's come first. */
export const UART_WORDS = Math.ceil(PLIC_SHARED_SIZE / 64) * 64

/** Byte offset of the ring that the virtio console prints into. */
export const CONSOLE_RING = Math.ceil((UART_WORDS + UartLayout.SIZE) / 64) * 64

export class PlatformDevices {
  readonly uart: Uart16550
  readonly plic: Plic
  /** What the virtio console printed. */
  readonly consoleOutput: ByteRing

  /**
   * `base`: byte offset of the device area in `buffer`. `setExternal` drives a hart's supervisor external
   * interrupt; it is called under the PLIC's lock.
   */
  constructor(
    buffer: SharedArrayBuffer,
    base: number,
    harts: number,
    setExternal: (hart: number, level: boolean) => void,
  ) {
    this.plic = new Plic(buffer, base, harts, setExternal)
    this.consoleOutput = new ByteRing(buffer, base + CONSOLE_RING, CONSOLE_OUTPUT_BYTES)
    this.uart = new Uart16550(buffer, base + UART_WORDS, (level) => this.plic.setLevel(UART_IRQ, level))
  }

  /** Power-on state of all devices; only while no thread uses them. */
  reset(): void {
    this.plic.reset()
    this.uart.reset()
    this.consoleOutput.reset()
  }

  /** True when a device's registers lie at guest physical address `gpa`. */
  owns(gpa: number): boolean {
    return (
      (gpa >= UART_BASE && gpa < UART_BASE + UART_SIZE) || (gpa >= PLIC_BASE && gpa < PLIC_BASE + PLIC_SIZE)
    )
  }

  /** A guest load of `length` bytes; widths a device does not have read as zero. */
  load(gpa: number, length: number): number {
    if (gpa >= UART_BASE) return length === 1 && gpa < UART_BASE + 8 ? this.uart.read(gpa - UART_BASE) : 0
    return length === 4 ? this.plic.read32(gpa - PLIC_BASE) : 0
  }

  /** A guest store of `length` bytes; widths a device does not have are ignored. */
  store(gpa: number, length: number, value: number): void {
    if (gpa >= UART_BASE) {
      if (length === 1 && gpa < UART_BASE + 8) this.uart.write(gpa - UART_BASE, value)
    } else if (length === 4) this.plic.write32(gpa - PLIC_BASE, value)
  }
}
