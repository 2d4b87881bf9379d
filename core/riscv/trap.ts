// Exception and interrupt cause numbers (privileged architecture 20240411, tables 22 and 49).

export const Cause = {
  INSTRUCTION_MISALIGNED: 0,
  INSTRUCTION_ACCESS_FAULT: 1,
  ILLEGAL_INSTRUCTION: 2,
  BREAKPOINT: 3,
  LOAD_MISALIGNED: 4,
  LOAD_ACCESS_FAULT: 5,
  STORE_MISALIGNED: 6,
  STORE_ACCESS_FAULT: 7,
  ECALL_FROM_U: 8,
  ECALL_FROM_VS: 10,
  INSTRUCTION_PAGE_FAULT: 12,
  LOAD_PAGE_FAULT: 13,
  STORE_PAGE_FAULT: 15,
  INSTRUCTION_GUEST_PAGE_FAULT: 20,
  LOAD_GUEST_PAGE_FAULT: 21,
  VIRTUAL_INSTRUCTION: 22,
  STORE_GUEST_PAGE_FAULT: 23,
} as const

/** Interrupt numbers; scause has bit 63 set as well. Highest priority first. */
export const INTERRUPT_PRIORITY = [9, 1, 5] as const

/**
 * htinst values for a G-stage fault on an implicit access to a VS-stage page table entry of 64 bits
 * (privileged architecture 20240411, table 50).
 */
export const PSEUDO_READ_PTE64 = 0x3000
export const PSEUDO_WRITE_PTE64 = 0x3020
