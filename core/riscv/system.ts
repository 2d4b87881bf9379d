// Zicsr, Zifencei, the supervisor instructions and Svinval (unprivileged specification 20240411, chapters 6 and 7;
// privileged architecture 20240411, section 12.2, 3.3.3 and chapter 16).

import { bits, type Instruction, MASK_FUNCT3, MASK_FUNCT7, Opcode } from './instruction.ts'
import { imm, rs1, type Semantics } from './semantics.ts'

const csr = (
  name: string,
  funct3: number,
  action: Extract<Semantics, { kind: 'csr' }>['action'],
): Instruction => ({
  name,
  extension: 'Zicsr',
  format: funct3 < 4 ? 'csr' : 'csrImm',
  match: bits(Opcode.SYSTEM, funct3),
  mask: MASK_FUNCT3,
  semantics: { kind: 'csr', action, source: funct3 < 4 ? rs1 : imm },
})

export const system: readonly Instruction[] = [
  csr('csrrw', 1, 'write'),
  csr('csrrs', 2, 'set'),
  csr('csrrc', 3, 'clear'),
  csr('csrrwi', 5, 'write'),
  csr('csrrsi', 6, 'set'),
  csr('csrrci', 7, 'clear'),
  {
    name: 'fence.i',
    extension: 'Zifencei',
    format: 'none',
    match: bits(Opcode.MISC_MEM, 1),
    mask: MASK_FUNCT3,
    semantics: { kind: 'fence.i' },
  },
  {
    name: 'sret',
    extension: 'S',
    format: 'none',
    match: 0x10200073,
    mask: 0xffffffff,
    semantics: { kind: 'sret' },
  },
  {
    name: 'wfi',
    extension: 'S',
    format: 'none',
    match: 0x10500073,
    mask: 0xffffffff,
    semantics: { kind: 'wfi' },
  },
  {
    name: 'sfence.vma',
    extension: 'S',
    format: 'fenceVma',
    match: bits(Opcode.SYSTEM, 0, 0x09),
    mask: MASK_FUNCT7 | 0x00000f80,
    semantics: { kind: 'sfence.vma' },
  },
  {
    name: 'sinval.vma',
    extension: 'Svinval',
    format: 'fenceVma',
    match: bits(Opcode.SYSTEM, 0, 0x0b),
    mask: MASK_FUNCT7 | 0x00000f80,
    semantics: { kind: 'sfence.vma' },
  },
  {
    name: 'sfence.w.inval',
    extension: 'Svinval',
    format: 'none',
    match: 0x18000073,
    mask: 0xffffffff,
    semantics: { kind: 'sfence.inval' },
  },
  {
    name: 'sfence.inval.ir',
    extension: 'Svinval',
    format: 'none',
    match: 0x18100073,
    mask: 0xffffffff,
    semantics: { kind: 'sfence.inval' },
  },
]
