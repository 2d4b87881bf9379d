// The serial port as Linux's 8250 driver and our own guests use it.
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { ByteRing } from '../byte-ring.ts'
import { bundleWorker, finished } from '../testing/bundle-worker.ts'
import { Uart16550 } from './device.ts'
import { Fcr, Ier, Iir, Lsr, Mcr, Msr, RX_CAPACITY, TX_CAPACITY, UartLayout, UartReg } from './registers.ts'

const { RHR_THR_DLL: DATA, IER_DLM: IER, IIR_FCR: IIR, LCR, MCR, LSR, MSR, SCR } = UartReg
const READY = Lsr.THRE | Lsr.TEMT

let buffer: SharedArrayBuffer
let levels: boolean[]
let uart: Uart16550

beforeEach(() => {
  buffer = new SharedArrayBuffer(UartLayout.SIZE)
  levels = []
  uart = new Uart16550(buffer, 0, (level) => levels.push(level))
  uart.reset()
  levels.length = 0
})

const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes)
const ascii = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0))

describe('registers', () => {
  it('start as after reset', () => {
    expect([IER, IIR, LCR, MCR, LSR, MSR, SCR].map((register) => uart.read(register))).toEqual([
      0,
      Iir.NO_INT,
      0,
      0,
      READY,
      Msr.CTS | Msr.DSR | Msr.DCD,
      0,
    ])
  })

  it('keep the divisor behind DLAB and everything else in front of it', () => {
    uart.write(IER, Ier.RDI)
    uart.write(LCR, 0x83)
    uart.write(DATA, 0x12)
    uart.write(IER, 0x34)
    expect([uart.read(DATA), uart.read(IER)]).toEqual([0x12, 0x34])
    uart.write(LCR, 0x03)
    expect([uart.read(DATA), uart.read(IER), uart.transmitted]).toEqual([0, Ier.RDI, 0])
  })

  it('show a 16550A with working FIFOs to a probing driver', () => {
    uart.write(IIR, Fcr.ENABLE)
    expect(uart.read(IIR) & 0xc0).toBe(0xc0)
    uart.write(IIR, 0)
    expect(uart.read(IIR) & 0xc0).toBe(0)
    uart.write(IER, 0xff)
    expect(uart.read(IER)).toBe(0x0f)
    uart.write(SCR, 0xa5)
    expect(uart.read(SCR)).toBe(0xa5)
  })

  it('pass the loop-back test of the 8250 driver, and loop bytes', () => {
    uart.write(MCR, Mcr.LOOP | Mcr.OUT2 | Mcr.RTS)
    expect(uart.read(MSR) & Msr.STATUS).toBe(Msr.DCD | Msr.CTS)
    uart.write(DATA, 0x5a)
    expect([uart.transmitted, uart.read(LSR) & Lsr.DR, uart.read(DATA)]).toEqual([0, Lsr.DR, 0x5a])
    expect(uart.receive(ascii('x'))).toBe(0)
  })

  it('raise the modem interrupt on a changed line until MSR is read', () => {
    uart.write(IER, Ier.MSI)
    uart.write(MCR, Mcr.LOOP | Mcr.RTS | Mcr.DTR | Mcr.OUT2 | Mcr.OUT1)
    expect(levels).toEqual([])
    // DSR falls (bit 1), RI falls (bit 2: trailing edge).
    uart.write(MCR, Mcr.LOOP | Mcr.RTS | Mcr.OUT2)
    expect([uart.read(IIR), uart.read(MSR)]).toEqual([Iir.MSI, Msr.CTS | Msr.DCD | 0x06])
    expect([uart.read(MSR) & Msr.DELTA, uart.irqLevel(), levels]).toEqual([0, false, [true, false]])
  })
})

describe('receive', () => {
  it('interrupts while data waits, by trigger level or time-out', () => {
    uart.write(IER, Ier.RDI)
    uart.write(IIR, Fcr.ENABLE | 0x80)
    uart.receive(ascii('1234567'))
    expect(uart.read(IIR)).toBe(Iir.RX_TIMEOUT | Iir.FIFO_BITS)
    uart.receive(ascii('8'))
    expect(uart.read(IIR)).toBe(Iir.RDI | Iir.FIFO_BITS)
    let got = ''
    while (uart.read(LSR) & Lsr.DR) got += String.fromCharCode(uart.read(DATA))
    expect(got).toBe('12345678')
    expect([uart.read(IIR), levels]).toEqual([Iir.NO_INT | Iir.FIFO_BITS, [true, false]])
  })

  it('takes what fits and never more', () => {
    expect(uart.receive(new Uint8Array(RX_CAPACITY + 10))).toBe(RX_CAPACITY)
    expect([uart.receive(ascii('x')), uart.receiveSpace]).toEqual([0, 0])
    uart.read(DATA)
    expect(uart.receive(ascii('xy'))).toBe(1)
  })

  it('throws away one FIFO when the driver clears it, not what is still on the wire', () => {
    uart.write(IIR, Fcr.ENABLE)
    uart.receive(ascii('0123456789abcdefROOT'))
    uart.write(IIR, Fcr.ENABLE | Fcr.CLEAR_RX | Fcr.CLEAR_TX)
    expect(uart.read(DATA)).toBe('R'.charCodeAt(0))
  })

  it('keeps what was typed before the driver turned the FIFOs on', () => {
    uart.receive(ascii('early'))
    uart.write(IIR, Fcr.ENABLE)
    expect(uart.read(DATA)).toBe('e'.charCodeAt(0))
  })

  it('reads 0 when nothing waits', () => {
    expect([uart.read(LSR) & Lsr.DR, uart.read(DATA)]).toEqual([0, 0])
  })
})

describe('transmit-empty interrupt', () => {
  it('is raised by enabling it, acknowledged by IIR, and raised again: the 8250 start-up test', () => {
    uart.write(IER, Ier.THRI)
    expect([uart.read(IIR), uart.read(IIR)]).toEqual([Iir.THRI, Iir.NO_INT])
    uart.write(IER, 0)
    uart.write(IER, Ier.THRI)
    expect(uart.read(IIR)).toBe(Iir.THRI)
    expect(levels).toEqual([true, false, true, false])
  })

  it('is not raised by writing IER without turning it on', () => {
    uart.write(IER, Ier.THRI)
    uart.read(IIR)
    uart.write(IER, Ier.THRI | Ier.RDI)
    expect(uart.read(IIR)).toBe(Iir.NO_INT)
  })

  it('comes back after each byte and goes when disabled', () => {
    uart.write(IER, Ier.THRI)
    uart.read(IIR)
    uart.write(DATA, 65)
    expect(uart.irqLevel()).toBe(true)
    uart.write(IER, 0)
    expect([uart.irqLevel(), text(uart.drain(10))]).toEqual([false, 'A'])
  })

  it('yields to received data, which IIR does not acknowledge', () => {
    uart.write(IER, Ier.THRI | Ier.RDI)
    uart.receive(ascii('x'))
    expect([uart.read(IIR), uart.read(IIR)]).toEqual([Iir.RDI, Iir.RDI])
    uart.read(DATA)
    expect([uart.read(IIR), uart.read(IIR)]).toEqual([Iir.THRI, Iir.NO_INT])
  })
})

describe('back-pressure', () => {
  const fill = (): number => {
    let sent = 0
    while (uart.read(LSR) & Lsr.THRE) for (let i = 0; i < 16; i++) uart.write(DATA, sent++ & 0xff)
    return sent
  }

  it('clears THRE and TEMT before a FIFO load could be lost, and keeps every byte', () => {
    const sent = fill()
    expect(sent).toBe(TX_CAPACITY)
    expect(uart.read(LSR) & READY).toBe(0)
    const got = uart.drain(1e6)
    expect(got.length).toBe(sent)
    expect(got.every((byte, i) => byte === (i & 0xff))).toBe(true)
  })

  it('raises the interrupt again when the reader made room for a FIFO load', () => {
    fill()
    uart.write(IER, Ier.THRI)
    expect([uart.irqLevel(), uart.read(IIR)]).toEqual([false, Iir.NO_INT])
    uart.drain(15)
    expect([uart.irqLevel(), uart.read(LSR) & READY]).toEqual([false, 0])
    uart.drain(1)
    expect([uart.irqLevel(), uart.read(LSR) & READY, levels]).toEqual([true, READY, [true]])
  })

  it('goes on after a reader of the bare ring once another thread drains 0 bytes', () => {
    const sent = fill()
    uart.write(IER, Ier.THRI)
    const reader = new ByteRing(buffer, UartLayout.TX_RING, TX_CAPACITY)
    expect(reader.drain(sent).length).toBe(sent)
    expect([uart.irqLevel(), uart.drain(0).length, uart.irqLevel()]).toEqual([false, 0, true])
  })

  it('loses nothing of a megabyte between a guest thread and a slower reader', async () => {
    const start = await bundleWorker(new URL('../testing/hammer.ts', import.meta.url))
    const bytes = 1 << 20
    const worker = start({ kind: 'transmit', buffer, bytes })
    const done = finished(worker)
    let seen = 0
    let wrong = 0
    for (let round = 0; seen < bytes; round++) {
      for (const byte of uart.drain(1 + ((round * 977) % 9000))) if (byte !== ((seen++ * 7) & 0xff)) wrong++
      if (round % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await done
    expect([seen, wrong, uart.transmitted, uart.read(LSR) & READY]).toEqual([bytes, 0, 0, READY])
  })
})

it('announces every change of its line and nothing else, whatever the guest does', () => {
  const operation = fc.oneof(
    fc.record({ op: fc.constant('write' as const), offset: fc.nat(7), value: fc.nat(255) }),
    fc.record({ op: fc.constant('read' as const), offset: fc.nat(7) }),
    fc.record({ op: fc.constant('receive' as const), bytes: fc.uint8Array({ maxLength: 20 }) }),
    fc.record({ op: fc.constant('drain' as const), max: fc.nat(50) }),
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      uart.reset()
      levels.length = 0
      for (const step of operations) {
        if (step.op === 'write') uart.write(step.offset, step.value)
        else if (step.op === 'read') uart.read(step.offset)
        else if (step.op === 'receive') uart.receive(step.bytes)
        else uart.drain(step.max)
        expect(uart.irqLevel()).toBe(levels.at(-1) ?? false)
        // The line is what the identification register says. Read it without its acknowledging side effect:
        // any enabled source shows the line high.
        if (!uart.irqLevel()) expect(uart.read(IIR) & 0x0f).toBe(Iir.NO_INT)
      }
      expect(levels.every((level, i) => level === (i % 2 === 0))).toBe(true)
    }),
  )
})
