// The serial port: an NS16550A whose registers and FIFOs live in shared memory, so any vCPU's worker serves
// its own register accesses while the host reads and writes the other side.
//
// The wire is infinitely fast: a byte written leaves at once, so THRE returns at once and its interrupt is
// armed again. Flow control replaces loss: with the transmit ring nearly full THRE and TEMT stay off until the
// host reads, and the host keeps what the receive ring does not take.

import { ByteRing } from '../byte-ring.ts'
import { DeviceLock } from '../lock.ts'
import {
  Fcr,
  FIFO_BYTES,
  Ier,
  Iir,
  LCR_DLAB,
  Lsr,
  Mcr,
  Msr,
  RX_CAPACITY,
  RX_TRIGGER,
  TX_CAPACITY,
  UartLayout,
  UartReg,
  UartWord,
} from './registers.ts'

/** Modem lines of a terminal that is always there. */
const LINES = Msr.CTS | Msr.DSR | Msr.DCD

/** One worker's view of the port; every worker makes its own over the same `UartLayout.SIZE` bytes. */
export class Uart16550 {
  readonly #words: Int32Array
  readonly #lock: DeviceLock
  readonly #rx: ByteRing
  readonly #tx: ByteRing
  readonly #onIrq: (level: boolean) => void

  /**
   * `base`: byte offset in `buffer`, a multiple of 64. `onIrq` is told each change of the interrupt line, in
   * order, under the device's lock: it may take the PLIC's lock, and must not call back into this device.
   */
  constructor(buffer: SharedArrayBuffer, base: number, onIrq: (level: boolean) => void) {
    this.#words = new Int32Array(buffer, base, UartLayout.RX_RING / 4)
    this.#lock = new DeviceLock(this.#words, UartWord.LOCK)
    this.#rx = new ByteRing(buffer, base + UartLayout.RX_RING, RX_CAPACITY)
    this.#tx = new ByteRing(buffer, base + UartLayout.TX_RING, TX_CAPACITY)
    this.#onIrq = onIrq
  }

  /** Power-on state; both rings emptied. Only while no thread uses the device. */
  reset(): void {
    const raised = this.irqLevel()
    this.#words.fill(0)
    this.#words[UartWord.MSR] = LINES
    this.#words[UartWord.DLL] = 1
    this.#rx.reset()
    this.#tx.reset()
    if (raised) this.#onIrq(false)
  }

  /** A guest's byte load from register `offset` (0..7). */
  read(offset: number): number {
    this.#lock.acquire()
    try {
      return this.#read(offset)
    } finally {
      this.#lock.release()
    }
  }

  /** A guest's byte store to register `offset` (0..7). */
  write(offset: number, value: number): void {
    this.#lock.acquire()
    try {
      this.#write(offset, value & 0xff)
      this.#update()
    } finally {
      this.#lock.release()
    }
  }

  /** Host to guest: takes what fits and returns that count; the caller offers the rest again later. */
  receive(bytes: Uint8Array): number {
    this.#lock.acquire()
    try {
      if (this.#words[UartWord.MCR] & Mcr.LOOP) return 0
      const taken = this.#rx.pushAll(bytes)
      this.#update()
      return taken
    } finally {
      this.#lock.release()
    }
  }

  /** Puts a byte on the line beside the guest's own (SBI debug console); false when there is no room. */
  emit(byte: number): boolean {
    this.#lock.acquire()
    try {
      return this.#tx.free > FIFO_BYTES && this.#tx.push(byte)
    } finally {
      this.#lock.release()
    }
  }

  /**
   * Guest to host: up to `max` bytes the guest sent; restarts a stalled transmitter. One thread is the reader.
   * A reader that may not block (a page) takes them from the ring at `UartLayout.TX_RING` itself, and another
   * thread calls `drain(0)` now and then for it.
   */
  drain(max: number): Uint8Array<ArrayBuffer> {
    const out = this.#tx.drain(max)
    if (Atomics.load(this.#words, UartWord.STALLED) !== 0 && this.#tx.free >= FIFO_BYTES) {
      this.#lock.acquire()
      try {
        this.#unstall()
        this.#update()
      } finally {
        this.#lock.release()
      }
    }
    return out
  }

  /** Bytes the guest sent and nobody read yet. */
  get transmitted(): number {
    return this.#tx.length
  }

  /** Bytes that `receive` would take now. */
  get receiveSpace(): number {
    return this.#rx.free
  }

  /** The interrupt line as last announced. */
  irqLevel(): boolean {
    return Atomics.load(this.#words, UartWord.LEVEL) !== 0
  }

  #read(offset: number): number {
    const words = this.#words
    const dlab = (words[UartWord.LCR] & LCR_DLAB) !== 0
    switch (offset) {
      case UartReg.RHR_THR_DLL: {
        if (dlab) return words[UartWord.DLL]
        const byte = this.#rx.pop()
        this.#update()
        return Math.max(byte, 0)
      }
      case UartReg.IER_DLM:
        return words[dlab ? UartWord.DLM : UartWord.IER]
      case UartReg.IIR_FCR: {
        const id = this.#interrupt()
        // Reading the identification acknowledges this one source, and only when it is the one shown.
        if (id === Iir.THRI) {
          words[UartWord.THR_PENDING] = 0
          this.#update()
        }
        return id | (words[UartWord.FCR] & Fcr.ENABLE ? Iir.FIFO_BITS : 0)
      }
      case UartReg.LCR:
        return words[UartWord.LCR]
      case UartReg.MCR:
        return words[UartWord.MCR]
      case UartReg.LSR:
        return (this.#rx.length > 0 ? Lsr.DR : 0) | (words[UartWord.STALLED] ? 0 : Lsr.THRE | Lsr.TEMT)
      case UartReg.MSR: {
        const status = words[UartWord.MSR]
        words[UartWord.MSR] = status & Msr.STATUS
        this.#update()
        return status
      }
      case UartReg.SCR:
        return words[UartWord.SCR]
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    const words = this.#words
    const dlab = (words[UartWord.LCR] & LCR_DLAB) !== 0
    switch (offset) {
      case UartReg.RHR_THR_DLL:
        if (dlab) words[UartWord.DLL] = value
        else this.#transmit(value)
        break
      case UartReg.IER_DLM:
        if (dlab) {
          words[UartWord.DLM] = value
        } else {
          // Turning the enable on with the holding register empty raises the interrupt again: how drivers
          // start sending, and what Linux's THRE test at start-up looks for.
          const enabled = value & ~words[UartWord.IER]
          if (enabled & Ier.THRI && !words[UartWord.STALLED]) words[UartWord.THR_PENDING] = 1
          words[UartWord.IER] = value & 0x0f
        }
        break
      case UartReg.IIR_FCR:
        this.#control(value)
        break
      case UartReg.LCR:
        words[UartWord.LCR] = value
        break
      case UartReg.MCR:
        words[UartWord.MCR] = value & Mcr.MASK
        this.#modem()
        break
      case UartReg.SCR:
        words[UartWord.SCR] = value
        break
      // LSR and MSR are read-only.
    }
  }

  /** The holding register is loaded and empties at once, unless the host lags: then it stays occupied. */
  #transmit(byte: number): void {
    const words = this.#words
    if (words[UartWord.MCR] & Mcr.LOOP) {
      this.#rx.push(byte)
      words[UartWord.THR_PENDING] = 1
      return
    }
    words[UartWord.THR_PENDING] = 0
    this.#tx.push(byte)
    // Room for one whole FIFO load is kept, because that is what a driver writes after seeing THRE. The flag
    // goes up before the second look: either this thread sees the reader's progress or the reader the flag.
    if (this.#tx.free < FIFO_BYTES) Atomics.store(words, UartWord.STALLED, 1)
    else words[UartWord.THR_PENDING] = 1
    this.#unstall()
  }

  #unstall(): void {
    if (this.#words[UartWord.STALLED] === 0 || this.#tx.free < FIFO_BYTES) return
    Atomics.store(this.#words, UartWord.STALLED, 0)
    this.#words[UartWord.THR_PENDING] = 1
  }

  #control(value: number): void {
    const words = this.#words
    const enabled = (words[UartWord.FCR] & Fcr.ENABLE) !== 0
    // Turning the FIFOs off empties them, as the clear bit does. Only what the chip's FIFO could hold is lost;
    // the rest is still "on the wire", and so is what came while they were off. The transmit FIFO is always
    // empty already: the wire took everything.
    if (enabled && (value & Fcr.CLEAR_RX || !(value & Fcr.ENABLE))) this.#rx.discard(FIFO_BYTES)
    words[UartWord.FCR] = value & Fcr.ENABLE ? value & (Fcr.ENABLE | Fcr.TRIGGER) : 0
  }

  /** In loop-back the modem outputs drive the inputs; otherwise the terminal does. Changes are remembered. */
  #modem(): void {
    const mcr = this.#words[UartWord.MCR]
    const before = this.#words[UartWord.MSR]
    const lines =
      mcr & Mcr.LOOP
        ? (mcr & Mcr.RTS ? Msr.CTS : 0) |
          (mcr & Mcr.DTR ? Msr.DSR : 0) |
          (mcr & Mcr.OUT1 ? Msr.RI : 0) |
          (mcr & Mcr.OUT2 ? Msr.DCD : 0)
        : LINES
    let delta = ((lines ^ before) & Msr.STATUS) >> 4
    // The ring indicator's change bit is set by its trailing edge only.
    if (lines & Msr.RI) delta &= ~Msr.TERI
    this.#words[UartWord.MSR] = lines | (before & Msr.DELTA) | delta
  }

  /** The identification register's low nibble: the highest-priority enabled source, or NO_INT. */
  #interrupt(): number {
    const words = this.#words
    const ier = words[UartWord.IER]
    if (ier & Ier.RDI) {
      const waiting = this.#rx.length
      if (waiting > 0) {
        const fcr = words[UartWord.FCR]
        // Below the trigger level the chip waits four character times, which on this wire are over.
        return fcr & Fcr.ENABLE && waiting < RX_TRIGGER[fcr >> 6] ? Iir.RX_TIMEOUT : Iir.RDI
      }
    }
    if (ier & Ier.THRI && words[UartWord.THR_PENDING]) return Iir.THRI
    if (ier & Ier.MSI && words[UartWord.MSR] & Msr.DELTA) return Iir.MSI
    return Iir.NO_INT
  }

  #update(): void {
    const level = this.#interrupt() === Iir.NO_INT ? 0 : 1
    if (this.#words[UartWord.LEVEL] === level) return
    Atomics.store(this.#words, UartWord.LEVEL, level)
    this.#onIrq(level !== 0)
  }
}
