// The platform-level interrupt controller's register map and its state in shared memory.
//
// Source: RISC-V Platform-Level Interrupt Controller specification 1.0.0, with the base offsets of the
// "sifive,plic-1.0.0" binding. One context per hart: its supervisor (VS) external interrupt.

/** Interrupt sources 1..31; source 0 does not exist. */
export const PLIC_SOURCES = 31
export const PLIC_MAX_HARTS = 8
/** Bytes of guest physical address space (the binding's reg size). */
export const PLIC_SIZE = 0x400000

/** Byte offsets in the device. All registers are 32 bits wide. */
export const PlicReg = {
  /** + 4 * source. */
  PRIORITY: 0x0,
  PENDING: 0x1000,
  /** + 0x80 * context. */
  ENABLE: 0x2000,
  ENABLE_STRIDE: 0x80,
  /** + 0x1000 * context; CLAIM is 4 bytes further on. */
  THRESHOLD: 0x200000,
  CONTEXT_STRIDE: 0x1000,
  CLAIM: 4,
} as const

/** Priorities 0 (never) to 7. */
export const PRIORITY_MASK = 7

/** Indices of the state's 32-bit words. Bit n of a source set is source n. */
export const PlicWord = {
  LOCK: 0,
  /** Lines as the devices drive them. */
  LEVEL: 1,
  PENDING: 2,
  /** Claimed and not yet completed: the gateway forwards nothing. */
  IN_SERVICE: 3,
  /** Bit per hart: external interrupt as last announced. */
  OUTPUT: 4,
  /** + context. */
  ENABLE: 8,
  /** + context. */
  THRESHOLD: 16,
  /** + source. */
  PRIORITY: 32,
  COUNT: 64,
} as const

/** Bytes of shared memory the device takes (base a multiple of 4, of 64 for speed). */
export const PLIC_SHARED_SIZE = PlicWord.COUNT * 4
