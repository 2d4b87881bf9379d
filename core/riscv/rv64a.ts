// A: load-reserved/store-conditional and atomic memory operations (unprivileged specification 20240411, ch. 14).

import { bits, type Instruction, Opcode } from './instruction.ts'
import type { AmoOp, Semantics } from './semantics.ts'

/** funct5 above the aq and rl bits. */
const MASK_AMO = 0xf800707f
/** lr has no rs2. */
const MASK_LR = 0xf9f0707f

const widths = [
  { suffix: 'w', funct3: 2, bytes: 4 },
  { suffix: 'd', funct3: 3, bytes: 8 },
] as const

const operations: readonly (readonly [name: AmoOp, funct5: number])[] = [
  ['swap', 0x01],
  ['add', 0x00],
  ['xor', 0x04],
  ['and', 0x0c],
  ['or', 0x08],
  ['min', 0x10],
  ['max', 0x14],
  ['minu', 0x18],
  ['maxu', 0x1c],
]

const atomic = (
  name: string,
  format: 'lr' | 'amo',
  funct5: number,
  funct3: number,
  semantics: Semantics,
): Instruction => ({
  name,
  extension: 'A',
  format,
  match: bits(Opcode.AMO, funct3, funct5 << 2),
  mask: format === 'lr' ? MASK_LR : MASK_AMO,
  semantics,
})

export const rv64a: readonly Instruction[] = widths.flatMap(({ suffix, funct3, bytes }) => [
  atomic(`lr.${suffix}`, 'lr', 0x02, funct3, { kind: 'lr', bytes }),
  atomic(`sc.${suffix}`, 'amo', 0x03, funct3, { kind: 'sc', bytes }),
  ...operations.map(([apply, funct5]) =>
    atomic(`amo${apply}.${suffix}`, 'amo', funct5, funct3, { kind: 'amo', bytes, apply }),
  ),
])
