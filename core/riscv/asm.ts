// Assembler: one instruction from its operands or its text, and programs with labels.

import { csrNamed } from './csr.ts'
import { type Format, formats, type OperandName, type Operands, writeField } from './format.ts'
import type { Instruction } from './instruction.ts'
import { instructionNamed } from './isa.ts'
import { registerNumber } from './registers.ts'

/** Source that cannot be assembled; the message names the line's fault. */
export class AssemblyError extends Error {}

/** The word of an instruction with these operands; a missing one is 0. Throws RangeError when one does not fit. */
export function encode(instruction: Instruction, operands: Operands): number {
  let word = instruction.match
  for (const [name, field] of Object.entries((formats[instruction.format] as Format).fields))
    word |= writeField(operands[name as OperandName] ?? 0, field)
  return word >>> 0
}

/** `asm('addi', {rd: 10, rs1: 10, imm: -1})`: the instruction's word. Immediates are as the semantics see them. */
export function asm(name: string, operands: Operands = {}): number {
  const instruction = instructionNamed(name)
  if (!instruction) throw new AssemblyError(`no instruction ${name}`)
  return encode(instruction, operands)
}

const ORDERS = ['', '.rl', '.aq', '.aqrl'] as const
/** Mnemonic suffix of aq/rl bits. */
export const orderSuffix = (order: number): string => ORDERS[order]

/** Bytes of an instruction: the two low bits say. */
export const parcelBytes = (parcel: number): 2 | 4 => ((parcel & 3) === 3 ? 4 : 2)

const C_NOP = 0x0001

/** Instructions of 32 and 16 bits one behind the other; c.nop fills the last word. */
export function packParcels(parcels: readonly number[]): Uint32Array<ArrayBuffer> {
  const halves = parcels.flatMap((parcel) =>
    parcelBytes(parcel) === 4 ? [parcel & 0xffff, parcel >>> 16] : [parcel],
  )
  if (halves.length % 2) halves.push(C_NOP)
  return new Uint32Array(Uint16Array.from(halves).buffer)
}

/** What text operands are resolved with: the address of the instruction and the labels' addresses. */
export interface Scope {
  readonly pc: number
  readonly labels: ReadonlyMap<string, number>
}
const nowhere: Scope = { pc: 0, labels: new Map() }

/** The words of one line: an instruction or a pseudo-instruction (which may be several words). */
export function assembleLine(line: string, scope: Scope = nowhere): number[] {
  const words: number[] = []
  for (const text of expand(line.trim()))
    words.push(assembleOne(text, { ...scope, pc: scope.pc + words.length * 4 }))
  return words
}

function assembleOne(text: string, scope: Scope): number {
  const [, mnemonic, rest] = /^(\S+)\s*(.*)$/.exec(text) ?? ['', '', '']
  const suffix = ORDERS.findLast((s) => s !== '' && mnemonic.endsWith(s) && !instructionNamed(mnemonic)) ?? ''
  const name = mnemonic.slice(0, mnemonic.length - suffix.length)
  const instruction = instructionNamed(name)
  if (!instruction) throw new AssemblyError(`no instruction ${mnemonic}`)
  const { syntax, fields } = formats[instruction.format] as Format
  const operands: Operands = {}
  if (suffix && !fields.order) throw new AssemblyError(`${name} takes no ${suffix}`)
  if (fields.order) operands.order = ORDERS.indexOf(suffix)
  const texts = matchSyntax(syntax, rest)
  if (!texts) throw new AssemblyError(`${name} takes ${syntax || 'no operands'}, not ${rest || 'none'}`)
  for (const [operand, value] of texts) {
    if (operand === 'target') operands.imm = targetOf(value, scope)
    else if (operand === 'upper') operands.imm = (numberOf(value) << 12) | 0
    else if (operand === 'csr') operands.csr = csrNamed(value) ?? numberOf(value)
    else if (operand === 'imm') operands.imm = numberOf(value)
    else operands[operand as OperandName] = registerOf(value)
  }
  return encode(instruction, operands)
}

/** The operand texts of `rest` by their names in the syntax, or undefined when it has another form. */
function matchSyntax(syntax: string, rest: string): [name: string, text: string][] | undefined {
  const names = syntax.match(/\w+/g) ?? []
  const pattern = syntax
    .replaceAll(/[()]/g, '\\$&')
    .replaceAll(/\w+/g, '([^\\s,()]+)')
    .replaceAll(', ', '\\s*,\\s*')
  const found = new RegExp(`^${pattern}$`).exec(rest.trim())
  return found ? names.map((name, index) => [name, found[index + 1]]) : undefined
}

function numberOf(text: string): number {
  const value = Number(text.startsWith('-') ? text.slice(1) : text)
  if (text === '' || Number.isNaN(value)) throw new AssemblyError(`not a number: ${text}`)
  return text.startsWith('-') ? -value : value
}

function registerOf(text: string): number {
  const number = registerNumber(text)
  if (number === undefined) throw new AssemblyError(`not a register: ${text}`)
  return number
}

/** Offset from the pc of a label or of `.+n` / `.-n`. */
function targetOf(text: string, { pc, labels }: Scope): number {
  const relative = /^\.([+-]\d+)$/.exec(text)
  if (relative) return Number(relative[1])
  const address = labels.get(text)
  if (address === undefined) throw new AssemblyError(`no label ${text}`)
  return address - pc
}

const pseudo: Record<string, (...operands: string[]) => string[]> = {
  nop: () => ['addi zero, zero, 0'],
  mv: (rd, rs) => [`addi ${rd}, ${rs}, 0`],
  not: (rd, rs) => [`xori ${rd}, ${rs}, -1`],
  neg: (rd, rs) => [`sub ${rd}, zero, ${rs}`],
  j: (target) => [`jal zero, ${target}`],
  jr: (rs) => [`jalr zero, 0(${rs})`],
  call: (target) => [`jal ra, ${target}`],
  ret: () => ['jalr zero, 0(ra)'],
  beqz: (rs, target) => [`beq ${rs}, zero, ${target}`],
  bnez: (rs, target) => [`bne ${rs}, zero, ${target}`],
  csrr: (rd, csr) => [`csrrs ${rd}, ${csr}, zero`],
  csrw: (csr, rs) => [`csrrw zero, ${csr}, ${rs}`],
  csrs: (csr, rs) => [`csrrs zero, ${csr}, ${rs}`],
  csrc: (csr, rs) => [`csrrc zero, ${csr}, ${rs}`],
  li: (rd, value) => loadImmediate(rd, BigInt.asIntN(64, parseBigInt(value))),
}

const parseBigInt = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text))

/** lui and addiw for 32 bits, then twelve bits a step. */
function loadImmediate(rd: string, value: bigint): string[] {
  const low = BigInt.asIntN(12, value)
  if (low === value) return [`addi ${rd}, zero, ${low}`]
  if (BigInt.asIntN(32, value) === value)
    return [
      `lui ${rd}, ${BigInt.asUintN(20, (value - low) >> 12n)}`,
      ...(low ? [`addiw ${rd}, ${rd}, ${low}`] : []),
    ]
  return [
    ...loadImmediate(rd, BigInt.asIntN(64, value - low) >> 12n),
    `slli ${rd}, ${rd}, 12`,
    ...(low ? [`addi ${rd}, ${rd}, ${low}`] : []),
  ]
}

function expand(line: string): string[] {
  const [, mnemonic, rest] = /^(\S+)\s*(.*)$/.exec(line) ?? ['', '', '']
  const rule = Object.hasOwn(pseudo, mnemonic) ? pseudo[mnemonic] : undefined
  if (!rule) return [line]
  const operands = rest === '' ? [] : rest.split(',').map((operand) => operand.trim())
  if (operands.length !== rule.length) throw new AssemblyError(`${mnemonic} takes ${rule.length} operands`)
  return rule(...operands)
}

/**
 * Assembles a program: a line is `label:`, an instruction, or `.word n`; `#` starts a comment. `origin` is the
 * address of its first word.
 */
export function assemble(source: string, origin = 0): Uint32Array<ArrayBuffer> {
  const labels = new Map<string, number>()
  const lines: string[] = []
  let address = origin
  for (const raw of source.split('\n')) {
    const text = raw.replace(/#.*/, '').trim()
    const label = /^(\w+):$/.exec(text)
    if (label) labels.set(label[1], address)
    else if (text) {
      lines.push(text)
      address += 4 * (text.startsWith('.word') ? 1 : expand(text).length)
    }
  }
  const words: number[] = []
  for (const line of lines) {
    if (line.startsWith('.word')) words.push(Number(line.slice(5)) >>> 0)
    else words.push(...assembleLine(line, { pc: origin + words.length * 4, labels }))
  }
  return Uint32Array.from(words)
}
