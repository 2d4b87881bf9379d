// THE ISA table: every instruction this machine knows, once. Decoder, assembler, disassembler, interpreter and
// their tests come from it; another extension is another array here. 16-bit instructions stand for these: rvc.ts.

import { cmo } from './cmo.ts'
import type { Instruction } from './instruction.ts'
import { rv64a } from './rv64a.ts'
import { rv64fd } from './rv64fd.ts'
import { rv64i } from './rv64i.ts'
import { rv64m } from './rv64m.ts'
import { system } from './system.ts'
import { zb } from './zb.ts'

export const isa: readonly Instruction[] = [...rv64i, ...rv64m, ...rv64a, ...rv64fd, ...zb, ...cmo, ...system]

const byName = new Map(isa.map((instruction) => [instruction.name, instruction]))

/** The instruction of that mnemonic, without aq/rl suffix. */
export const instructionNamed = (name: string): Instruction | undefined => byName.get(name)
