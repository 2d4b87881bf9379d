// 16-bit instructions <-> the 32-bit ones they stand for.

import { encode } from './encode.ts'
import { type OperandName, type Operands, writeField } from './format.ts'
import { instructionNamed } from './isa.ts'
import { type Compressed, compressedOperands, rvc } from './rvc.ts'

/** Every 16-bit instruction of this machine: those whose full instruction it has. */
export const compressed: readonly Compressed[] = rvc.filter(({ full }) => instructionNamed(full))

const byName = new Map(compressed.map((row) => [row.name, row]))

export const compressedNamed = (name: string): Compressed | undefined => byName.get(name)

/** The 16-bit instruction a half word is; undefined when reserved or the low bits say 32 bits. */
export function decodeCompressed(half: number): Compressed | undefined {
  const row = rvc.find(({ match, mask }) => (half & mask) === match)
  if (!row || !byName.has(row.name)) return undefined
  const operands = compressedOperands(row, half)
  return row.nonzero.every((name) => operands[name] !== 0) ? row : undefined
}

/** The 32-bit instruction that a half word stands for; 0, which is none, when it is no instruction. */
export function expandCompressed(half: number): number {
  const row = decodeCompressed(half)
  const full = row && instructionNamed(row.full)
  return full ? encode(full, compressedOperands(row, half)) : 0
}

/**
 * The half word of a 16-bit instruction; rs1 need not be given where it is rd. Throws RangeError when an operand does
 * not fit.
 */
export function encodeCompressed(row: Compressed, operands: Operands): number {
  let half = row.match
  for (const [name, source] of Object.entries(row.operands)) {
    const value = operands[name as OperandName]
    if (typeof source !== 'number' && value !== undefined)
      half |= writeField(value - source.plus, source.field)
  }
  if (decodeCompressed(half) !== row) throw new RangeError(`${row.name} is reserved with these operands`)
  return half
}
