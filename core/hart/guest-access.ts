// What kind of access a guest page fault was for, from the trap that a vCPU exited with.

import { Exit, Vcpu } from '../engine/vcpu-block.ts'
import { PSEUDO_READ_PTE64, PSEUDO_WRITE_PTE64 } from '../riscv/trap.ts'
import type { VcpuRegisters } from './vcpu-registers.ts'

export type GuestAccess = 'fetch' | 'read' | 'write'

const accesses = new Map<number, GuestAccess>([
  [Exit.FETCH_GUEST_PAGE_FAULT, 'fetch'],
  [Exit.LOAD_GUEST_PAGE_FAULT, 'read'],
  [Exit.STORE_GUEST_PAGE_FAULT, 'write'],
])

/**
 * What the faulting access was; undefined when the exit was none. The cause is that of the instruction's own access;
 * where the fault was the page walk's, the pseudoinstruction says whether it read a page-table entry or wrote A and D
 * into it.
 */
export const guestAccess = (registers: VcpuRegisters): GuestAccess | undefined => {
  const access = accesses.get(registers.word(Vcpu.EXIT_SCAUSE))
  if (!access) return undefined
  const instruction = registers.word(Vcpu.EXIT_INSN)
  if (instruction === PSEUDO_WRITE_PTE64) return 'write'
  return instruction === PSEUDO_READ_PTE64 ? 'read' : access
}
