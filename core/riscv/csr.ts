// CSR numbers a guest in VS or VU mode can name, and the bits of those with fields.
// Source: privileged architecture 20240411, table 4 and chapter 12; Sstc 1.0.

/** Number = [11:10] read-only when 3, [9:8] lowest privilege, [7:0] index. */
export const Csr = {
  fflags: 0x001,
  frm: 0x002,
  fcsr: 0x003,
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  stimecmp: 0x14d,
  satp: 0x180,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
} as const

export type CsrName = keyof typeof Csr

const names = new Map<number, CsrName>((Object.keys(Csr) as CsrName[]).map((name) => [Csr[name], name]))
/** The CSR's name, or its number in hexadecimal. */
export const csrName = (number: number): string => names.get(number) ?? `0x${number.toString(16)}`
/** The CSR of that name. */
export const csrNamed = (name: string): number | undefined => (name in Csr ? Csr[name as CsrName] : undefined)

/** sstatus. UXL (bits 33:32) reads 2: user mode is RV64. */
export const Sstatus = {
  SIE: 1 << 1,
  SPIE: 1 << 5,
  SPP: 1 << 8,
  /** The floating-point state: 0 off, 3 dirty. */
  FS: 3 << 13,
  SUM: 1 << 18,
  MXR: 1 << 19,
} as const
export const SSTATUS_WRITABLE =
  Sstatus.SIE | Sstatus.SPIE | Sstatus.SPP | Sstatus.FS | Sstatus.SUM | Sstatus.MXR
/** SD: some state is dirty; here that of FS. */
export const SSTATUS_SD = 1n << 63n
export const SSTATUS_UXL_SHIFT = 32

/** Bits of sip and sie. */
export const Interrupt = { SSI: 1 << 1, STI: 1 << 5, SEI: 1 << 9 } as const
export const SIE_WRITABLE = Interrupt.SSI | Interrupt.STI | Interrupt.SEI

/** scounteren bits: cycle, time, instret; there are no further counters. */
export const Counter = { CY: 1 << 0, TM: 1 << 1, IR: 1 << 2 } as const
export const SCOUNTEREN_WRITABLE = Counter.CY | Counter.TM | Counter.IR

/**
 * senvcfg. FIOM: fences order memory when they order I/O (every fence here orders all). The others let VU use cbo.inval
 * (CBIE: 1 as a flush, 3), cbo.clean and cbo.flush (CBCFE), and cbo.zero (CBZE).
 */
export const Senvcfg = { FIOM: 1 << 0, CBIE: 3 << 4, CBCFE: 1 << 6, CBZE: 1 << 7 } as const
export const SENVCFG_WRITABLE = Senvcfg.FIOM | Senvcfg.CBIE | Senvcfg.CBCFE | Senvcfg.CBZE
/** The one value of CBIE that is reserved: writing it leaves 0. */
export const CBIE_RESERVED = 2 << 4
