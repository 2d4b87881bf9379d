// NS16550A registers and bits, and where the device's state lies in shared memory.
//
// Source: National Semiconductor PC16550D data sheet (June 1995), table II; names as in Linux's
// include/uapi/linux/serial_reg.h.

import { byteRingSize } from '../byte-ring.ts'

/** Register offsets (reg-shift 0, one byte each). */
export const UartReg = {
  /** Read: receive buffer; write: transmit holding; with DLAB the divisor's low byte. */
  RHR_THR_DLL: 0,
  /** Interrupt enable; with DLAB the divisor's high byte. */
  IER_DLM: 1,
  /** Read: interrupt identification; write: FIFO control. */
  IIR_FCR: 2,
  LCR: 3,
  MCR: 4,
  LSR: 5,
  MSR: 6,
  SCR: 7,
} as const

export const Ier = { RDI: 0x01, THRI: 0x02, RLSI: 0x04, MSI: 0x08 } as const

/** Interrupt identification, highest priority first as read; the FIFO bits tell that FIFOs are on. */
export const Iir = {
  RLS: 0x06,
  RDI: 0x04,
  RX_TIMEOUT: 0x0c,
  THRI: 0x02,
  MSI: 0x00,
  NO_INT: 0x01,
  FIFO_BITS: 0xc0,
} as const

export const Fcr = { ENABLE: 0x01, CLEAR_RX: 0x02, CLEAR_TX: 0x04, DMA: 0x08, TRIGGER: 0xc0 } as const
export const LCR_DLAB = 0x80
export const Mcr = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10, MASK: 0x1f } as const
export const Lsr = { DR: 0x01, OE: 0x02, THRE: 0x20, TEMT: 0x40 } as const
export const Msr = {
  CTS: 0x10,
  DSR: 0x20,
  RI: 0x40,
  DCD: 0x80,
  STATUS: 0xf0,
  DELTA: 0x0f,
  TERI: 0x04,
} as const

/** Receive FIFO depths at which "received data available" is raised, by the top two bits of FCR. */
export const RX_TRIGGER = [1, 4, 8, 14] as const

/** Depth of the 16550A's FIFOs: what a driver loads after one THRE, and what clearing a FIFO throws away. */
export const FIFO_BYTES = 16

/** Host to guest: a long paste fits; more waits at the sender. */
export const RX_CAPACITY = 4096
/** Guest to host: about 6 ms of a guest printing at 10 MB/s, so a reader once a frame rarely stalls it. */
export const TX_CAPACITY = 65536

/** Indices of the state's 32-bit words from the device's base. */
export const UartWord = {
  LOCK: 0,
  IER: 1,
  FCR: 2,
  LCR: 3,
  MCR: 4,
  /** Modem status as last read: lines in the high half, changes since in the low half. */
  MSR: 5,
  SCR: 6,
  DLL: 7,
  DLM: 8,
  /** 1: the transmitter-empty interrupt is armed (seen by IIR while IER.THRI is on). */
  THR_PENDING: 9,
  /** 1: the transmit ring is too full for a FIFO load; THRE is off until a reader makes room. */
  STALLED: 10,
  /** Interrupt line as last announced. */
  LEVEL: 11,
} as const

const RX_RING = 0x80
const TX_RING = RX_RING + byteRingSize(RX_CAPACITY)

/** Byte offsets of the rings, and bytes of shared memory the device takes (base a multiple of 64). */
export const UartLayout = { RX_RING, TX_RING, SIZE: TX_RING + byteRingSize(TX_CAPACITY) } as const
