// Disassembler: text of an instruction word, in the form the assembler reads back.

import { orderSuffix } from './asm.ts'
import { csrName } from './csr.ts'
import { decode, operandsOf } from './decode.ts'
import { type Format, formats, type OperandName } from './format.ts'
import { registerNames } from './registers.ts'

/** `addi a0, a0, -1`; jump targets are relative (`.+8`); words that are no instruction come as `.word 0x…`. */
export function disassemble(word: number): string {
  const instruction = decode(word)
  if (!instruction) return `.word 0x${(word >>> 0).toString(16).padStart(8, '0')}`
  const { syntax } = formats[instruction.format] as Format
  const operands = operandsOf(instruction, word)
  const text = syntax.replaceAll(/\w+/g, (name) => {
    const imm = operands.imm ?? 0
    if (name === 'target') return imm < 0 ? `.${imm}` : `.+${imm}`
    if (name === 'upper') return `0x${(imm >>> 12).toString(16)}`
    if (name === 'imm') return String(imm)
    if (name === 'csr') return csrName(operands.csr ?? 0)
    return registerNames[operands[name as OperandName] ?? 0]
  })
  return `${instruction.name}${orderSuffix(operands.order ?? 0)} ${text}`.trimEnd()
}
