// Zicbom and Zicboz: cache-block management (unprivileged specification 20240411, chapter 19).

import { bits, type Instruction, Opcode } from './instruction.ts'
import type { CboAction } from './semantics.ts'

/** rs1 is the only operand. */
const MASK_CBO = 0xfff07fff
const FUNCT3_CBO = 2

const cbo = (action: CboAction, funct12: number): Instruction => ({
  name: `cbo.${action}`,
  extension: action === 'zero' ? 'Zicboz' : 'Zicbom',
  format: 'cbo',
  match: bits(Opcode.MISC_MEM, FUNCT3_CBO) | (funct12 << 20),
  mask: MASK_CBO,
  semantics: { kind: 'cbo', action },
})

export const cmo: readonly Instruction[] = [cbo('inval', 0), cbo('clean', 1), cbo('flush', 2), cbo('zero', 4)]
