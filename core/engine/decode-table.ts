// Handlers and the byte table that selects them: one handler per set of instructions a decode index can mean.

import { expandCompressed } from '../riscv/compressed.ts'
import { DECODE_INDEX_BITS, decodeCandidates } from '../riscv/decode.ts'
import type { Instruction } from '../riscv/instruction.ts'

/** Instructions that share a handler (almost always one). */
export type Handler = readonly Instruction[]

/** Handler of words that are no instruction. */
export const ILLEGAL_HANDLER = 0

const table = new Uint8Array(1 << DECODE_INDEX_BITS)
const list: Handler[] = [[]]
{
  const numbers = new Map<string, number>([['', ILLEGAL_HANDLER]])
  decodeCandidates.forEach((candidates, index) => {
    const key = candidates.map(({ name }) => name).join()
    const number = numbers.get(key) ?? list.push(candidates) - 1
    numbers.set(key, number)
    table[index] = number
  })
}

/** The handlers by number; number 0 is ILLEGAL_HANDLER. */
export const handlers: readonly Handler[] = list

/** Handler number by decode index, for Vcpu.DECODE. */
export const decodeTable: Uint8Array = table

/** The decode index lacks the two low bits, so "none" is a word that no index takes for an instruction. */
const ILLEGAL_WORD = 0xffffffff

/** The 32-bit instruction for each 16-bit one, for Vcpu.EXPAND. */
export const expandTable: Uint32Array = Uint32Array.from(
  { length: 0x10000 },
  (_, half) => expandCompressed(half) || ILLEGAL_WORD,
)
