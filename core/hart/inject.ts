// A trap into the guest's supervisor, raised by the hypervisor (kvm_riscv_vcpu_trap_redirect, vcpu_exit.c, v7.2).

import { Vcpu } from '../engine/vcpu-block.ts'
import { Cause } from '../riscv/trap.ts'
import type { GuestAccess } from './guest-access.ts'
import type { VcpuRegisters } from './vcpu-registers.ts'

const SIE = 1 << 1
const SPIE = 1 << 5
const SPP = 1 << 8

const accessFaults: Readonly<Record<GuestAccess, number>> = {
  fetch: Cause.INSTRUCTION_ACCESS_FAULT,
  read: Cause.LOAD_ACCESS_FAULT,
  write: Cause.STORE_ACCESS_FAULT,
}

/** The access that the vCPU exited for faults in the guest, at its virtual address. The vCPU is outside guest mode. */
export const injectAccessFault = (registers: VcpuRegisters, access: GuestAccess): void => {
  const { view } = registers
  const status = registers.word(Vcpu.SSTATUS) & ~(SPP | SPIE | SIE)
  const wasEnabled = registers.word(Vcpu.SSTATUS) & SIE ? SPIE : 0
  const wasSupervisor = registers.word(Vcpu.PRIV) ? SPP : 0
  view.setBigUint64(Vcpu.SEPC, view.getBigUint64(Vcpu.PC, true), true)
  view.setBigUint64(Vcpu.STVAL, view.getBigUint64(Vcpu.EXIT_STVAL, true), true)
  registers.setNumber(Vcpu.SCAUSE, accessFaults[access])
  registers.setWord(Vcpu.SSTATUS, status | wasEnabled | wasSupervisor)
  registers.setWord(Vcpu.PRIV, 1)
  // An exception goes to the base, whatever the mode of stvec.
  view.setBigUint64(Vcpu.PC, view.getBigUint64(Vcpu.STVEC, true) & ~3n, true)
}
