// Word -> instruction and operands, from the ISA table.
//
// The decode index packs the bits that tell almost all 32-bit instructions apart, so that one byte table of
// 32 KiB replaces a search; the few that share an index (ecall, ebreak, lr) are told apart by their masks.
//
//   14      8 7    5 4        0
//  | funct7  |funct3| op[6:2]  |

import { formats, type OperandName, type Operands, readField } from './format.ts'
import type { Instruction } from './instruction.ts'
import { isa } from './isa.ts'

export const DECODE_INDEX_BITS = 15
/** Instruction bits that the index holds, with the two low bits that say "32-bit". */
export const DECODE_INDEX_MASK = 0xfe00707f

/** Decode index of a 32-bit instruction word. */
export const decodeIndex = (word: number): number =>
  ((word >>> 25) << 8) | ((word >>> 7) & 0xe0) | ((word >>> 2) & 0x1f)

/** The word with exactly the bits of an index (and the two low bits set). */
const indexWord = (index: number): number =>
  (((index >> 8) << 25) | ((index & 0xe0) << 7) | ((index & 0x1f) << 2) | 3) >>> 0

/** For each decode index, the instructions a word with that index can be, or none. */
export const decodeCandidates: readonly (readonly Instruction[])[] = Array.from(
  { length: 1 << DECODE_INDEX_BITS },
  (_, index) => {
    const word = indexWord(index)
    return isa.filter(({ match, mask }) => ((word ^ match) & mask & DECODE_INDEX_MASK) === 0)
  },
)

/** The instruction of a word; undefined when it is none (or a 16-bit one). */
export const decode = (word: number): Instruction | undefined =>
  (word & 3) === 3
    ? decodeCandidates[decodeIndex(word)].find(({ match, mask }) => ((word ^ match) & mask) === 0)
    : undefined

/** The operands of a word that is `instruction`. */
export function operandsOf(instruction: Instruction, word: number): Operands {
  const operands: Operands = {}
  for (const [name, field] of Object.entries(formats[instruction.format].fields))
    operands[name as OperandName] = readField(word, field)
  return operands
}
