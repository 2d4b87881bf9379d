// Assembler: one instruction from its operands or its text, and programs with labels.

import { compressedNamed, encodeCompressed } from './compressed.ts'
import { csrNamed } from './csr.ts'
import { encode } from './encode.ts'
import { type Format, floatOperand, formats, type OperandName, type Operands } from './format.ts'
import { instructionNamed } from './isa.ts'
import { floatRegisterNumber, registerNumber, roundingNames } from './registers.ts'

/** Source that cannot be assembled; the message names the line's fault. */
export class AssemblyError extends Error {}

/**
 * `asm('addi', {rd: 10, rs1: 10, imm: -1})`: the instruction's word, or half word (`c.addi`). Immediates are as the
 * semantics see them.
 */
export function asm(name: string, operands: Operands = {}): number {
  const short = compressedNamed(name)
  if (short) return encodeCompressed(short, operands)
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
export const packParcels = (parcels: readonly number[]): Uint32Array<ArrayBuffer> =>
  packHalves(parcels.flatMap(halvesOf))

const halvesOf = (parcel: number): number[] =>
  parcelBytes(parcel) === 4 ? [parcel & 0xffff, parcel >>> 16] : [parcel]

function packHalves(halves: readonly number[]): Uint32Array<ArrayBuffer> {
  const whole = halves.length % 2 ? [...halves, C_NOP] : halves
  return new Uint32Array(Uint16Array.from(whole).buffer)
}

/** What text operands are resolved with: the address of the instruction and the labels' addresses. */
export interface Scope {
  readonly pc: number
  readonly labels: ReadonlyMap<string, number>
}
const nowhere: Scope = { pc: 0, labels: new Map() }

/** The words and half words of one line: an instruction or a pseudo-instruction (which may be several). */
export function assembleLine(line: string, scope: Scope = nowhere): number[] {
  const parcels: number[] = []
  let { pc } = scope
  for (const text of expand(line.trim())) {
    const parcel = assembleOne(text, { ...scope, pc })
    parcels.push(parcel)
    pc += parcelBytes(parcel)
  }
  return parcels
}

function assembleOne(text: string, scope: Scope): number {
  const [, mnemonic, rest] = /^(\S+)\s*(.*)$/.exec(text) ?? ['', '', '']
  const suffix = ORDERS.findLast((s) => s !== '' && mnemonic.endsWith(s) && !instructionNamed(mnemonic)) ?? ''
  const name = mnemonic.slice(0, mnemonic.length - suffix.length)
  const short = compressedNamed(name)
  const instruction = instructionNamed(name)
  const form = short ?? (instruction && (formats[instruction.format] as Format))
  if (!form) throw new AssemblyError(`no instruction ${mnemonic}`)
  const { syntax } = form
  const operands: Operands = {}
  const ordered = instruction && 'order' in formats[instruction.format].fields
  if (suffix && !ordered) throw new AssemblyError(`${name} takes no ${suffix}`)
  if (ordered) operands.order = ORDERS.indexOf(suffix)
  const texts = matchSyntax(syntax, rest)
  if (!texts) throw new AssemblyError(`${name} takes ${syntax || 'no operands'}, not ${rest || 'none'}`)
  for (const [operand, value] of texts) {
    if (operand === 'target') operands.imm = targetOf(value, scope)
    else if (operand === 'upper') operands.imm = (numberOf(value) << 12) | 0
    else if (operand === 'csr') operands.csr = csrNamed(value) ?? numberOf(value)
    else if (operand === 'imm') operands.imm = numberOf(value)
    else if (operand === 'rm') operands.rm = roundingOf(value)
    else if (operand.startsWith('f')) operands[floatOperand(operand)] = floatRegisterOf(value)
    else operands[operand as OperandName] = registerOf(value)
  }
  return asm(name, operands)
}

/** The operand texts of `rest` by their names in the syntax, or undefined when it has another form. */
function matchSyntax(syntax: string, rest: string): [name: string, text: string][] | undefined {
  const names = (syntax.match(/\w+/g) ?? []).filter((name) => name !== 'sp')
  const pattern = syntax
    .replaceAll(/[()]/g, '\\$&')
    .replaceAll(/\w+/g, (name) => (name === 'sp' ? name : '([^\\s,()]+)'))
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

function floatRegisterOf(text: string): number {
  const number = floatRegisterNumber(text)
  if (number === undefined) throw new AssemblyError(`not a floating-point register: ${text}`)
  return number
}

function roundingOf(text: string): number {
  const mode = roundingNames.indexOf(text)
  if (mode < 0) throw new AssemblyError(`not a rounding mode: ${text}`)
  return mode
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
  'c.nop': () => ['c.addi zero, 0'],
  // Hints and orders that the fence instruction's operand makes.
  pause: () => ['fence 0x010'],
  'fence.tso': () => ['fence 0x833'],
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
 * Assembles a program: a line is `label:`, an instruction, `.word n` or `.half n`; `#` starts a comment. `origin` is
 * the address of its first word; c.nop fills the last one.
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
      address += bytesOfLine(text)
    }
  }
  const halves: number[] = []
  for (const line of lines) {
    const data = Number(line.slice(5))
    if (line.startsWith('.half')) halves.push(data)
    else if (line.startsWith('.word')) halves.push(data & 0xffff, data >>> 16)
    else
      for (const parcel of assembleLine(line, { pc: origin + halves.length * 2, labels }))
        halves.push(...halvesOf(parcel))
  }
  return packHalves(halves)
}

function bytesOfLine(text: string): number {
  if (text.startsWith('.half')) return 2
  if (text.startsWith('.word')) return 4
  return expand(text).reduce((sum, one) => sum + (one.startsWith('c.') ? 2 : 4), 0)
}
