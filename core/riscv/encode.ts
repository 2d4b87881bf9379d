// Instruction and operands -> word.

import { type Format, formats, type OperandName, type Operands, writeField } from './format.ts'
import type { Instruction } from './instruction.ts'

/** The word of an instruction with these operands; a missing one is 0. Throws RangeError when one does not fit. */
export function encode(instruction: Instruction, operands: Operands): number {
  let word = instruction.match
  for (const [name, field] of Object.entries((formats[instruction.format] as Format).fields))
    word |= writeField(operands[name as OperandName] ?? 0, field)
  return word >>> 0
}
