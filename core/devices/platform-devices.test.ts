// The devices wired together, as a guest's loads and stores reach them.
import { expect, it } from 'vitest'
import { PLIC_BASE, UART_BASE, UART_IRQ } from './memory-map.ts'
import { CONSOLE_RING, PlatformDevices } from './platform-devices.ts'
import { PlicReg } from './plic/registers.ts'
import { Ier, UartReg } from './uart16550/registers.ts'
import { CONSOLE_RING_BYTES } from './virtio-console/registers.ts'

const buffer = new SharedArrayBuffer(CONSOLE_RING + CONSOLE_RING_BYTES)
const external = [false, false]
const wire = (): PlatformDevices =>
  new PlatformDevices(buffer, 0, 2, (hart, level) => {
    external[hart] = level
  })

it('carries a typed key as an interrupt to the hart that enabled it, and back, across two views', () => {
  const [host, guest] = [wire(), wire()]
  host.reset()
  guest.store(PLIC_BASE + 4 * UART_IRQ, 4, 1)
  guest.store(PLIC_BASE + PlicReg.ENABLE + PlicReg.ENABLE_STRIDE, 4, 1 << UART_IRQ)
  guest.store(UART_BASE + UartReg.IER_DLM, 1, Ier.RDI)
  host.uart.receive(Uint8Array.of(0x41))
  expect(external).toEqual([false, true])
  const claim = PLIC_BASE + PlicReg.THRESHOLD + PlicReg.CONTEXT_STRIDE + PlicReg.CLAIM
  expect(guest.load(claim, 4)).toBe(UART_IRQ)
  expect(external).toEqual([false, false])
  expect(guest.load(UART_BASE, 1)).toBe(0x41)
  guest.store(claim, 4, UART_IRQ)
  expect([external, guest.load(claim, 4)]).toEqual([[false, false], 0])
})

it('answers 0 to widths and places that a device does not have, and ignores such stores', () => {
  const devices = wire()
  devices.reset()
  devices.store(UART_BASE + UartReg.SCR, 4, 0x55)
  devices.store(UART_BASE + UartReg.SCR, 1, 0xaa)
  devices.store(UART_BASE + 8, 1, 0x55)
  expect([devices.load(UART_BASE + UartReg.SCR, 1), devices.load(UART_BASE + UartReg.SCR, 4)]).toEqual([
    0xaa, 0,
  ])
  devices.store(PLIC_BASE + 4, 1, 1)
  expect([devices.load(PLIC_BASE + 4, 4), devices.load(UART_BASE + 8, 1)]).toEqual([0, 0])
})

it('owns exactly its registers', () => {
  const devices = wire()
  const owned = [
    PLIC_BASE - 1,
    PLIC_BASE,
    PLIC_BASE + 0x3fffff,
    PLIC_BASE + 0x400000,
    UART_BASE,
    UART_BASE + 0x100,
  ]
  expect(owned.map((gpa) => devices.owns(gpa))).toEqual([false, true, true, false, true, false])
})
