// The ISA table's products agree: decoder, assembler and disassembler over every encoding.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssemblyError, asm, assemble, assembleLine } from './asm.ts'
import { compressed, decodeCompressed, expandCompressed } from './compressed.ts'
import { decode, operandsOf } from './decode.ts'
import { disassemble } from './disasm.ts'
import { encode } from './encode.ts'
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

describe('compressed instructions', () => {
  it('every half word is an instruction that survives disassembly and assembly, or none', () => {
    const found = new Set<string>()
    for (let half = 0; half < 0x10000; half++) {
      if ((half & 3) === 3) continue
      const row = decodeCompressed(half)
      const text = disassemble(half)
      if (row) {
        found.add(row.name)
        expect(assembleLine(text), text).toEqual([half])
        expect(decode(expandCompressed(half))?.name).toBe(row.full)
      } else {
        expect(expandCompressed(half)).toBe(0)
        expect(text).toBe(`.half 0x${half.toString(16).padStart(4, '0')}`)
      }
    }
    expect([...found].toSorted()).toEqual(compressed.map(({ name }) => name).toSorted())
  })

  it('encode and expand as GNU as and objdump do', () => {
    // From riscv64-linux-gnu-as and objdump 2.40.
    const known: [string, number, string][] = [
      ['c.addi4spn a0, sp, 1020', 0x1fe8, 'addi a0, sp, 1020'],
      ['c.lw a0, 124(a1)', 0x5de8, 'lw a0, 124(a1)'],
      ['c.ld s0, 248(s1)', 0x7ce0, 'ld s0, 248(s1)'],
      ['c.sw a5, 4(a4)', 0xc35c, 'sw a5, 4(a4)'],
      ['c.sd a3, 8(a2)', 0xe614, 'sd a3, 8(a2)'],
      ['c.addi t0, -32', 0x1281, 'addi t0, t0, -32'],
      ['c.addiw a0, 31', 0x257d, 'addiw a0, a0, 31'],
      ['c.li t6, -1', 0x5ffd, 'addi t6, zero, -1'],
      ['c.addi16sp sp, -512', 0x7101, 'addi sp, sp, -512'],
      ['c.lui t0, 0xfffe0', 0x7281, 'lui t0, 0xfffe0'],
      ['c.lui a0, 0x1f', 0x657d, 'lui a0, 0x1f'],
      ['c.srli a0, 63', 0x917d, 'srli a0, a0, 63'],
      ['c.srai s1, 1', 0x8485, 'srai s1, s1, 1'],
      ['c.andi a5, -3', 0x9bf5, 'andi a5, a5, -3'],
      ['c.sub a0, a1', 0x8d0d, 'sub a0, a0, a1'],
      ['c.xor a0, a1', 0x8d2d, 'xor a0, a0, a1'],
      ['c.or a0, a1', 0x8d4d, 'or a0, a0, a1'],
      ['c.and a0, a1', 0x8d6d, 'and a0, a0, a1'],
      ['c.subw a0, a1', 0x9d0d, 'subw a0, a0, a1'],
      ['c.addw a0, a1', 0x9d2d, 'addw a0, a0, a1'],
      ['c.j .+2046', 0xaffd, 'jal zero, .+2046'],
      ['c.j .-2048', 0xb001, 'jal zero, .-2048'],
      ['c.j .+340', 0xaa91, 'jal zero, .+340'],
      ['c.beqz a0, .-256', 0xd101, 'beq a0, zero, .-256'],
      ['c.bnez s0, .+254', 0xec7d, 'bne s0, zero, .+254'],
      ['c.slli t3, 33', 0x1e06, 'slli t3, t3, 33'],
      ['c.lwsp t4, 252(sp)', 0x5efe, 'lw t4, 252(sp)'],
      ['c.ldsp ra, 504(sp)', 0x70fe, 'ld ra, 504(sp)'],
      ['c.jr ra', 0x8082, 'jalr zero, 0(ra)'],
      ['c.mv t0, t1', 0x829a, 'add t0, zero, t1'],
      ['c.ebreak', 0x9002, 'ebreak'],
      ['c.jalr t2', 0x9382, 'jalr ra, 0(t2)'],
      ['c.add s11, s10', 0x9dea, 'add s11, s11, s10'],
      ['c.swsp t5, 252(sp)', 0xdffa, 'sw t5, 252(sp)'],
      ['c.sdsp ra, 504(sp)', 0xff86, 'sd ra, 504(sp)'],
    ]
    for (const [text, half, full] of known) {
      expect(assembleLine(text)[0].toString(16), text).toBe(half.toString(16))
      expect(disassemble(expandCompressed(half))).toBe(full)
    }
  })

  it('refuse what is reserved', () => {
    for (const bad of [
      'c.addi4spn a0, sp, 0',
      'c.lui a0, 0',
      'c.lui sp, 1',
      'c.jr zero',
      'c.lwsp zero, 0(sp)',
      'c.addiw zero, 1',
      'c.mv a0, zero',
      'c.and a0, t0',
    ])
      expect(() => assembleLine(bad), bad).toThrow(RangeError)
    expect(decodeCompressed(0)).toBeUndefined()
  })
})
