// Disassembler: text of an instruction word, in the form the assembler reads back.

import { orderSuffix } from './asm.ts'
import { decodeCompressed } from './compressed.ts'
import { csrName } from './csr.ts'
import { decode, operandsOf } from './decode.ts'
import { type Format, floatOperand, formats, type OperandName, type Operands } from './format.ts'
import { floatRegisterNames, registerNames, roundingNames } from './registers.ts'
import { compressedOperands } from './rvc.ts'

/**
 * `addi a0, a0, -1`; jump targets are relative (`.+8`); what is no instruction comes as `.word 0x…` or `.half 0x…`.
 * Of a word whose low bits say "16-bit" only the low half counts.
 */
export function disassemble(word: number): string {
  if ((word & 3) !== 3) return disassembleHalf(word & 0xffff)
  const instruction = decode(word)
  if (!instruction) return `.word 0x${(word >>> 0).toString(16).padStart(8, '0')}`
  const operands = operandsOf(instruction, word)
  const mnemonic = `${instruction.name}${orderSuffix(operands.order ?? 0)}`
  return textOf(mnemonic, (formats[instruction.format] as Format).syntax, operands)
}

function disassembleHalf(half: number): string {
  const short = decodeCompressed(half)
  if (!short) return `.half 0x${half.toString(16).padStart(4, '0')}`
  return textOf(short.name, short.syntax, compressedOperands(short, half))
}

function textOf(mnemonic: string, syntax: string, operands: Operands): string {
  const text = syntax.replaceAll(/\w+/g, (name) => {
    const imm = operands.imm ?? 0
    if (name === 'target') return imm < 0 ? `.${imm}` : `.+${imm}`
    if (name === 'upper') return `0x${((imm >>> 12) & 0xfffff).toString(16)}`
    if (name === 'imm') return String(imm)
    if (name === 'csr') return csrName(operands.csr ?? 0)
    if (name === 'sp') return name
    if (name === 'rm') return roundingNames[operands.rm ?? 0]
    if (name.startsWith('f')) return floatRegisterNames[operands[floatOperand(name)] ?? 0]
    return registerNames[operands[name as OperandName] ?? 0]
  })
  return `${mnemonic} ${text}`.trimEnd()
}
