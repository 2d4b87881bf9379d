// Random programs that end by themselves: straight lines with short forward jumps over a data area.
//
// x31 points to the middle of the data area and x30 is scratch for addresses, so neither is ever a destination of a
// random instruction. After the stream all registers are stored behind the data, then ecall.

import { asm, assemble, packParcels } from '../../riscv/asm.ts'
import { Choice, type InstructionClass, type StreamName, streams } from './streams.ts'

/** Code starts here, in the test machine and in an ELF file alike. */
export const CODE = 0x80000000
/** x31; accesses reach 2048 bytes down and 2047 + 7 up. */
export const DATA_BASE = 0x80020000
export const DATA_START = DATA_BASE - 2048
/** Registers x0..x31 are stored here, 8 bytes each. */
export const DUMP = DATA_BASE + 2064
/** Bytes from DATA_START that describe the outcome. */
export const OUTCOME_BYTES = DUMP + 32 * 8 - DATA_START

/** The words of a program of about `length` random instructions. */
export function randomProgram(seed: number, length: number, stream: StreamName): Uint32Array<ArrayBuffer> {
  const choice = new Choice(seed)
  const classes: readonly InstructionClass[] = streams[stream]
  const lots = classes.flatMap((one) => Array.from({ length: one.weight }, () => one))

  const setup = [`li x31, ${DATA_BASE}`, 'li x30, 0']
  for (let register = 1; register < 30; register++) setup.push(`li x${register}, ${choice.value()}`)
  for (let offset = -2048; offset < 2048; offset += 128)
    setup.push(`sd x${1 + choice.below(29)}, ${offset + choice.below(15) * 8}(x31)`)
  for (const { setup: own } of classes) setup.push(...(own?.(choice) ?? []))
  const parcels = [...assemble(setup.join('\n'), CODE)]
  while (parcels.length < length) parcels.push(...choice.pick(lots).one(choice))
  for (const { finish } of classes) parcels.push(...(finish?.() ?? []))

  // x31 keeps its value until the dump is done with it.
  parcels.push(asm('addi', { rd: 30, rs1: 31, imm: 2040 }), asm('addi', { rd: 30, rs1: 30, imm: 24 }))
  for (let register = 0; register < 32; register++)
    parcels.push(asm('sd', { rs1: 30, rs2: register, imm: register * 8 }))
  // write(1, DATA_START, OUTCOME_BYTES); exit(0)
  parcels.push(
    ...assemble(
      `li a0, 1\nli a1, ${DATA_START}\nli a2, ${OUTCOME_BYTES}\nli a7, 64\necall\nli a0, 0\nli a7, 93\necall`,
    ),
  )
  return packParcels(parcels)
}

/** FNV-1a, 64 bits, in hexadecimal. */
export function fnv(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
