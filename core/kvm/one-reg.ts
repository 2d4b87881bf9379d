// KVM_GET_ONE_REG and KVM_SET_ONE_REG: register ids and what they name (arch/riscv/kvm/vcpu_onereg.c).
//
// id = 0x8000000000000000 | size << 52 | type << 24 | subtype << 16 | index. BigInt is fine here: nobody
// reads registers on a hot path.

import { KernelError } from '../base/errno.ts'
import { TIMEBASE_HZ, Vcpu } from '../engine/vcpu-block.ts'
import { SbiForward } from '../hart/sbi.ts'
import type { VcpuRegisters } from '../hart/vcpu-registers.ts'
import { SatpMode } from '../riscv/pagetable.ts'
import { CBO_BLOCK_BYTES } from '../riscv/semantics.ts'

const RISCV_U64 = 0x8030000000000000n
const TYPE_SHIFT = 24n

const RegType = { CONFIG: 1n, CORE: 2n, CSR: 3n, TIMER: 4n, SBI_EXT: 8n } as const

const id = (type: bigint, index: number): bigint => RISCV_U64 | (type << TYPE_SHIFT) | BigInt(index)

/** Ids a VMM needs. */
export const OneReg = {
  ISA: id(RegType.CONFIG, 0),
  ZICBOM_BLOCK_SIZE: id(RegType.CONFIG, 1),
  ZICBOZ_BLOCK_SIZE: id(RegType.CONFIG, 5),
  /** The largest satp mode. */
  SATP_MODE: id(RegType.CONFIG, 6),
  PC: id(RegType.CORE, 0),
  /** xN, for N from 1 to 31. */
  x: (n: number): bigint => id(RegType.CORE, n),
  /** Privilege mode: 1 supervisor, 0 user. */
  MODE: id(RegType.CORE, 32),
  TIMER_FREQUENCY: id(RegType.TIMER, 0),
  TIME: id(RegType.TIMER, 1),
  SBI_DBCN: id(RegType.SBI_EXT, 9),
  /** Project-own (upstream knows ids up to MPXY, 13): CoVE guest calls of the software-protected VM. */
  SBI_COVG: id(RegType.SBI_EXT, 0x1000),
} as const

/** General CSRs in their uAPI order (struct kvm_riscv_csr). */
const csrs = [
  Vcpu.SSTATUS,
  Vcpu.SIE,
  Vcpu.STVEC,
  Vcpu.SSCRATCH,
  Vcpu.SEPC,
  Vcpu.SCAUSE,
  Vcpu.STVAL,
  Vcpu.PENDING,
  Vcpu.SATP,
  Vcpu.SCOUNTEREN,
  Vcpu.SENVCFG,
] as const

/** misa's form: MXL 2, then a bit a letter. */
const ISA =
  (2n << 62n) | [...'acdfim'].reduce((bits, letter) => bits | (1n << BigInt(letter.charCodeAt(0) - 97)), 0n)
const SIP_CSR = 7
/** Registers that can be set to what they are, and nothing else. */
const fixed: readonly bigint[] = [
  OneReg.ISA,
  OneReg.ZICBOM_BLOCK_SIZE,
  OneReg.ZICBOZ_BLOCK_SIZE,
  OneReg.SATP_MODE,
  OneReg.TIMER_FREQUENCY,
]

const sbiBits = new Map<bigint, number>([
  [OneReg.SBI_DBCN, SbiForward.DBCN],
  [OneReg.SBI_COVG, SbiForward.COVG],
])

/** The registers of one vCPU by id; only while the vCPU is outside guest mode. */
export class OneRegisters {
  readonly #registers: VcpuRegisters
  readonly #now: () => number

  /** `now`: the machine's clock in ticks. */
  constructor(registers: VcpuRegisters, now: () => number) {
    this.#registers = registers
    this.#now = now
  }

  /** Throws ENOENT for an id that names nothing, EINVAL for a wrong size. */
  get(register: bigint): bigint {
    const view = this.#registers.view
    switch (register) {
      case OneReg.ISA:
        return ISA
      case OneReg.ZICBOM_BLOCK_SIZE:
      case OneReg.ZICBOZ_BLOCK_SIZE:
        return BigInt(CBO_BLOCK_BYTES)
      case OneReg.SATP_MODE:
        return BigInt(SatpMode.SV57)
      case OneReg.MODE:
        return BigInt(this.#registers.word(Vcpu.PRIV))
      case OneReg.TIMER_FREQUENCY:
        return BigInt(TIMEBASE_HZ)
      case OneReg.TIME:
        return BigInt(this.#now() + this.#registers.float(Vcpu.TIME_DELTA))
    }
    const bit = sbiBits.get(register)
    if (bit !== undefined) return this.#registers.word(Vcpu.SBI_FORWARD) & bit ? 1n : 0n
    const offset = this.#offset(register)
    return offset === Vcpu.PENDING
      ? BigInt(this.#registers.word(offset) >>> 0)
      : view.getBigUint64(offset, true)
  }

  /** As `get`; also EINVAL for a value the register cannot have. */
  set(register: bigint, value: bigint): void {
    if (register === OneReg.MODE) {
      if (value > 1n) throw new KernelError('EINVAL', 'mode is 0 or 1')
      this.#registers.setWord(Vcpu.PRIV, Number(value))
      return
    }
    if (register === OneReg.TIME) {
      this.#registers.setFloat(Vcpu.TIME_DELTA, Number(value) - this.#now())
      return
    }
    if (fixed.includes(register)) {
      if (value !== this.get(register)) throw new KernelError('EINVAL', 'this register is fixed')
      return
    }
    const bit = sbiBits.get(register)
    if (bit !== undefined) {
      if (value > 1n) throw new KernelError('EINVAL', 'an extension is 0 or 1')
      const rest = this.#registers.word(Vcpu.SBI_FORWARD) & ~bit
      this.#registers.setWord(Vcpu.SBI_FORWARD, value ? rest | bit : rest)
      return
    }
    const offset = this.#offset(register)
    if (offset === Vcpu.PENDING) this.#registers.setWord(offset, Number(value & 0xffffffffn) | 0)
    else this.#registers.view.setBigUint64(offset, value, true)
  }

  /** Offset in the vCPU block of a core register or CSR. */
  #offset(register: bigint): number {
    if (register >> 52n !== RISCV_U64 >> 52n) throw new KernelError('EINVAL', 'only 64-bit RISC-V registers')
    const type = (register >> TYPE_SHIFT) & 0xffn
    const index = Number(register & 0xffffffn)
    if (type === RegType.CORE && index === 0) return Vcpu.PC
    if (type === RegType.CORE && index < 32) return Vcpu.X + 8 * index
    if (type === RegType.CSR && index < csrs.length) return index === SIP_CSR ? Vcpu.PENDING : csrs[index]
    throw new KernelError('ENOENT', `no register ${register.toString(16)}`)
  }
}
