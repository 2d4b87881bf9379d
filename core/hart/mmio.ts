// Decoding of the load or store that trapped on an MMIO address, and its completion
// (arch/riscv/kvm/vcpu_insn.c). The instruction comes from the engine, expanded to 32 bits.

import { KernelError } from '../base/errno.ts'

/** A trapped access: how many bytes, which register, how to extend a loaded value. */
export interface MmioAccess {
  readonly length: number
  readonly write: boolean
  readonly signed: boolean
  /** Destination of a load, source of a store. */
  readonly register: number
}

const LOAD = 0x03
const STORE = 0x23

/** Fails with EOPNOTSUPP when the instruction is no integer load or store (an AMO on a device, say). */
export const decodeMmio = (instruction: number): MmioAccess => {
  const opcode = instruction & 0x7f
  const funct3 = (instruction >>> 12) & 7
  if (opcode === LOAD && funct3 !== 7)
    return { length: 1 << (funct3 & 3), write: false, signed: funct3 < 4, register: (instruction >>> 7) & 31 }
  if (opcode === STORE && funct3 < 4)
    return { length: 1 << funct3, write: true, signed: false, register: (instruction >>> 20) & 31 }
  throw new KernelError('EOPNOTSUPP', 'the trapped instruction is no load or store')
}

/** The value a load leaves in its register, as the two halves of an i64. */
export const extendLoad = (access: MmioAccess, low: number, high: number): [number, number] => {
  if (access.length === 8) return [low, high]
  const unused = 32 - 8 * access.length
  const value = access.signed ? (low << unused) >> unused : (low << unused) >>> unused
  return [value | 0, access.signed ? value >> 31 : 0]
}
