// The ISA table's products agree: decoder, assembler and disassembler over every encoding.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssemblyError, asm, assemble, assembleLine, encode } from './asm.ts'
import { decode, operandsOf } from './decode.ts'
import { disassemble } from './disasm.ts'
import { type Field, type Format, formats, type OperandName, readField, topBit } from './format.ts'
import { isa } from './isa.ts'

/** Every value a field can hold is reached: its bits come from an arbitrary word. */
const operandsArbitrary = (format: Format) =>
  fc.record(
    Object.fromEntries(
      Object.entries(format.fields).map(([name, field]) => [
        name,
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((word) => readField(word, field)),
      ]),
    ) as Record<OperandName, fc.Arbitrary<number>>,
  )

describe('ISA table', () => {
  it('has no two instructions that claim the same word', () => {
    for (const a of isa)
      for (const b of isa)
        if (a !== b) {
          const common = a.mask & b.mask
          const overlap = ((a.match ^ b.match) & common) === 0
          expect(overlap, `${a.name} and ${b.name}`).toBe(false)
        }
  })

  it('keeps match inside mask, and operand fields outside it', () => {
    for (const { name, match, mask, format } of isa) {
      expect((match & ~mask) >>> 0, name).toBe(0)
      const fields: Field[] = Object.values((formats[format] as Format).fields)
      for (const { pieces } of fields)
        for (const { hi, lo } of pieces)
          for (let bit = lo; bit <= hi; bit++) expect((mask >>> bit) & 1, `${name} bit ${bit}`).toBe(0)
    }
  })

  it.each(isa.map((instruction) => [instruction.name, instruction] as const))(
    '%s: encode, decode, disassemble and assemble are inverse',
    (_name, instruction) => {
      fc.assert(
        fc.property(operandsArbitrary(formats[instruction.format]), (operands) => {
          const word = encode(instruction, operands)
          expect(decode(word)).toBe(instruction)
          expect(operandsOf(instruction, word)).toEqual(operands)
          expect(assembleLine(disassemble(word))).toEqual([word])
        }),
      )
    },
  )

  it('decodes any word to an instruction whose mask agrees, as a search of the table does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (word) => {
        const found = isa.find(({ match, mask }) => ((word ^ match) & mask) === 0)
        expect(decode(word)).toBe(found)
      }),
      { numRuns: 5000 },
    )
  })

  it('encodes as GNU as does', () => {
    // From riscv64-unknown-elf-as 2.40.
    const known: [string, number][] = [
      ['addi a0, a1, -4', 0xffc58513],
      ['lui t0, 0x12345', 0x123452b7],
      ['auipc sp, 0xfffff', 0xfffff117],
      ['jal ra, .+2048', 0x001000ef],
      ['jal zero, .-4', 0xffdff06f],
      ['beq a0, a1, .-8', 0xfeb50ce3],
      ['bgeu s0, s1, .+4094', 0x7e947fe3],
      ['ld s2, -16(sp)', 0xff013903],
      ['sd s2, 2040(sp)', 0x7f213c23],
      ['srai a0, a0, 63', 0x43f55513],
      ['sraiw a0, a0, 31', 0x41f5551b],
      ['mulhsu a0, a1, a2', 0x02c5a533],
      ['remuw t3, t4, t5', 0x03eefe3b],
      ['lr.d.aq a0, (a1)', 0x1405b52f],
      ['sc.w.rl a0, a2, (a1)', 0x1ac5a52f],
      ['amomaxu.d.aqrl t0, t1, (t2)', 0xe663b2af],
      ['csrrw a0, satp, a1', 0x18059573],
      ['csrrsi zero, sstatus, 2', 0x10016073],
      ['sfence.vma a0, a1', 0x12b50073],
      ['sret', 0x10200073],
      ['wfi', 0x10500073],
      ['ecall', 0x00000073],
      ['ebreak', 0x00100073],
      ['fence.i', 0x0000100f],
      ['fence 255', 0x0ff0000f],
    ]
    for (const [text, word] of known) expect(assembleLine(text)[0].toString(16), text).toBe(word.toString(16))
  })

  it('resolves labels both ways', () => {
    expect([
      ...assemble(
        `
        start:
          addi a0, a0, -1   # count down
          bnez a0, start
          j done
          .word 0xdeadbeef
        done:
          ret`,
        0x80000000,
      ),
    ]).toEqual([
      asm('addi', { rd: 10, rs1: 10, imm: -1 }),
      asm('bne', { rs1: 10, rs2: 0, imm: -4 }),
      asm('jal', { rd: 0, imm: 8 }),
      0xdeadbeef,
      asm('jalr', { rd: 0, rs1: 1, imm: 0 }),
    ])
  })

  it('refuses operands that do not fit, and text that is no instruction', () => {
    expect(() => asm('addi', { rd: 1, rs1: 1, imm: 2048 })).toThrow(RangeError)
    expect(() => asm('beq', { rs1: 1, rs2: 1, imm: 3 })).toThrow(RangeError)
    expect(() => asm('slli', { rd: 32, rs1: 1, imm: 1 })).toThrow(RangeError)
    for (const bad of ['frob a0', 'addi a0, a1', 'addi a0, q1, 3', 'add.aq a0, a1, a2', 'j nowhere', 'mv a0'])
      expect(() => assembleLine(bad), bad).toThrow(AssemblyError)
  })

  it('reads a field signed from its top bit', () => {
    const field = formats.J.fields.imm
    expect(topBit(field)).toBe(20)
    expect(readField(0x80000000, field)).toBe(-(2 ** 20))
  })
})
