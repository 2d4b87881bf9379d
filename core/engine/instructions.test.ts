// Each instruction by the specification's text, with the corners that generated streams might miss.

import { describe, expect, it } from 'vitest'
import { isa } from '../riscv/isa.ts'
import { RAM, TestMachine } from './testing/machine.ts'
import { Exit } from './vcpu-block.ts'

const MIN64 = -(2n ** 63n)
const MAX64 = 2n ** 63n - 1n
const MIN32 = -(2n ** 31n)
const PATTERN = 0xfedcba9876543210n

/** rd of `name rd, rs1, rs2` as a signed value. */
function register(name: string, a: bigint, b: bigint): bigint {
  const m = new TestMachine()
  m.setX(11, a)
  m.setX(12, b)
  expect(m.run(`${name} a0, a1, a2\necall`)).toBe(Exit.VS_ECALL)
  return BigInt.asIntN(64, m.x(10))
}

const registerCases: Record<string, [a: bigint, b: bigint, result: bigint][]> = {
  add: [
    [MAX64, 1n, MIN64],
    [-1n, 1n, 0n],
  ],
  sub: [
    [MIN64, 1n, MAX64],
    [0n, 1n, -1n],
  ],
  sll: [
    [1n, 63n, MIN64],
    [1n, 64n, 1n],
    [3n, 65n, 6n],
  ],
  slt: [
    [-1n, 0n, 1n],
    [0n, -1n, 0n],
    [MIN64, MAX64, 1n],
  ],
  sltu: [
    [-1n, 0n, 0n],
    [0n, -1n, 1n],
  ],
  xor: [[-1n, 0x0fn, -16n]],
  srl: [
    [-1n, 63n, 1n],
    [MIN64, 64n, MIN64],
  ],
  sra: [
    [MIN64, 63n, -1n],
    [MAX64, 62n, 1n],
  ],
  or: [[0xf0n, 0x0fn, 0xffn]],
  and: [[0xf3n, 0x3fn, 0x33n]],
  addw: [
    [0x7fffffffn, 1n, MIN32],
    [0x1_0000_0000n, 5n, 5n],
  ],
  subw: [[0n, 1n, -1n]],
  sllw: [
    [1n, 31n, MIN32],
    [1n, 32n, 1n],
  ],
  srlw: [
    [-1n, 0n, -1n],
    [-1n, 31n, 1n],
  ],
  sraw: [
    [0x80000000n, 31n, -1n],
    [0x80000000n, 32n, MIN32],
  ],
  mul: [
    [MIN64, -1n, MIN64],
    [0x100000001n, 0x100000001n, 0x200000001n],
  ],
  mulh: [
    [MIN64, MIN64, 1n << 62n],
    [MIN64, MAX64, -(1n << 62n)],
    [-1n, -1n, 0n],
  ],
  mulhu: [
    [-1n, -1n, -2n],
    [MIN64, 2n, 1n],
  ],
  mulhsu: [
    [-1n, -1n, -1n],
    [MIN64, -1n, MIN64],
    [1n, -1n, 0n],
  ],
  mulw: [[0x7fffffffn, 2n, -2n]],
  div: [
    [7n, 0n, -1n],
    [MIN64, -1n, MIN64],
    [-7n, 2n, -3n],
    [7n, -1n, -7n],
  ],
  divu: [
    [7n, 0n, -1n],
    [-1n, 2n, MAX64],
  ],
  rem: [
    [7n, 0n, 7n],
    [MIN64, -1n, 0n],
    [-7n, 2n, -1n],
    [7n, -2n, 1n],
  ],
  remu: [
    [-7n, 0n, -7n],
    [-1n, 10n, 5n],
  ],
  divw: [
    [0x1_0000_0007n, 0n, -1n],
    [0x80000000n, -1n, MIN32],
    [-7n, 2n, -3n],
  ],
  divuw: [
    [-1n, 0n, -1n],
    [-1n, 1n, -1n],
    [0xfffffffen, 2n, 0x7fffffffn],
  ],
  remw: [
    [0x80000000n, 0n, MIN32],
    [0x80000000n, -1n, 0n],
    [-7n, 2n, -1n],
  ],
  remuw: [
    [0xffffffffn, 0n, -1n],
    [-1n, 16n, 15n],
  ],
  sh1add: [
    [3n, 5n, 11n],
    [MIN64, 1n, 1n],
  ],
  sh2add: [[3n, 5n, 17n]],
  sh3add: [[-1n, 5n, -3n]],
  'add.uw': [[-1n, 1n, 0x1_0000_0000n]],
  'sh1add.uw': [[-1n, 1n, 0x1_ffff_ffffn]],
  'sh2add.uw': [[-1n, 0n, 0x3_ffff_fffcn]],
  'sh3add.uw': [[0x1_8000_0000n, 1n, 0x4_0000_0001n]],
  andn: [[0xffn, 0x0fn, 0xf0n]],
  orn: [[0n, 0x0fn, -16n]],
  xnor: [[0xffn, 0x0fn, ~0xf0n]],
  min: [[-1n, 1n, -1n]],
  minu: [[-1n, 1n, 1n]],
  max: [[-1n, 1n, 1n]],
  maxu: [[-1n, 1n, -1n]],
  rol: [
    [MIN64 + 1n, 1n, 3n],
    [5n, 64n, 5n],
  ],
  ror: [
    [3n, 1n, MIN64 + 1n],
    [5n, 64n, 5n],
  ],
  rolw: [
    [0x80000001n, 1n, 3n],
    [0x1_4000_0000n, 1n, MIN32],
    [0x80000000n, 32n, MIN32],
  ],
  rorw: [
    [3n, 1n, MIN32 + 1n],
    [0x80000000n, 0n, MIN32],
    [0xff_0000_0002n, 33n, 1n],
  ],
  bclr: [
    [-1n, 63n, MAX64],
    [7n, 65n, 5n],
  ],
  bext: [
    [MIN64, 63n, 1n],
    [MIN64, 62n, 0n],
    [2n, 65n, 1n],
  ],
  binv: [[0n, 63n, MIN64]],
  bset: [
    [0n, 63n, MIN64],
    [1n, 64n, 1n],
  ],
  'czero.eqz': [
    [5n, 0n, 0n],
    [5n, MIN64, 5n],
  ],
  'czero.nez': [
    [5n, 0n, 5n],
    [5n, 0x1_0000_0000n, 0n],
  ],
}

describe('register instructions', () => {
  it('are all covered', () => {
    const all = isa.filter(({ format, extension }) => format === 'R' && extension !== 'S')
    expect(all.map(({ name }) => name).toSorted()).toEqual(Object.keys(registerCases).toSorted())
  })
  it.each(Object.entries(registerCases))('%s', (name, cases) => {
    for (const [a, b, result] of cases) expect(register(name, a, b), `${a} ${b}`).toBe(result)
  })
})

describe('immediates', () => {
  it.each([
    ['addi a0, a1, -1', 0n, -1n],
    ['slti a0, a1, -1', -2n, 1n],
    ['sltiu a0, a1, -1', 5n, 1n],
    ['sltiu a0, a1, 1', 0n, 1n],
    ['xori a0, a1, -1', 5n, -6n],
    ['ori a0, a1, 15', 0x10n, 0x1fn],
    ['andi a0, a1, -16', 0x1fn, 0x10n],
    ['slli a0, a1, 63', 3n, MIN64],
    ['srli a0, a1, 63', MIN64, 1n],
    ['srai a0, a1, 63', MIN64, -1n],
    ['addiw a0, a1, 0', 0x80000000n, MIN32],
    ['addiw a0, a1, -1', 0n, -1n],
    ['slliw a0, a1, 31', 1n, MIN32],
    ['srliw a0, a1, 1', 0xffffffff_80000000n, 0x40000000n],
    ['sraiw a0, a1, 4', 0x80000000n, -(2n ** 27n)],
    ['lui a0, 0x80000', 0n, MIN32],
    ['lui a0, 0x7ffff', 0n, 0x7ffff000n],
    ['slli.uw a0, a1, 36', -1n, -(2n ** 36n)],
    ['slli.uw a0, a1, 4', -1n, 0xf_ffff_fff0n],
    ['rori a0, a1, 63', 1n, 2n],
    ['roriw a0, a1, 31', 0x40000000n, MIN32],
    ['bclri a0, a1, 63', -1n, MAX64],
    ['bexti a0, a1, 63', MIN64, 1n],
    ['binvi a0, a1, 63', MIN64, 0n],
    ['bseti a0, a1, 63', 0n, MIN64],
    ['clz a0, a1', 0n, 64n],
    ['clz a0, a1', 1n, 63n],
    ['ctz a0, a1', 0n, 64n],
    ['ctz a0, a1', MIN64, 63n],
    ['cpop a0, a1', -1n, 64n],
    ['clzw a0, a1', 0xff_0000_0000n, 32n],
    ['clzw a0, a1', 1n, 31n],
    ['ctzw a0, a1', 0xff_0000_0000n, 32n],
    ['ctzw a0, a1', 0x80000000n, 31n],
    ['cpopw a0, a1', -1n, 32n],
    ['sext.b a0, a1', 0x180n, -128n],
    ['sext.h a0, a1', 0x18000n, -0x8000n],
    ['zext.h a0, a1', -1n, 0xffffn],
    ['orc.b a0, a1', 0x0100_8000_0000_ff10n, BigInt.asIntN(64, 0xff00_ff00_0000_ffffn)],
    ['rev8 a0, a1', 0x0102030405060788n, BigInt.asIntN(64, 0x8807060504030201n)],
    ['auipc a0, 0', 0n, BigInt(RAM)],
    ['auipc a0, 0x80000', 0n, BigInt(RAM) + MIN32],
  ])('%s', (text, a, result) => {
    const m = new TestMachine()
    m.setX(11, a)
    m.run(`${text}\necall`)
    expect(BigInt.asIntN(64, m.x(10))).toBe(result)
  })

  it('never change x0', () => {
    const m = new TestMachine()
    m.run('addi zero, zero, 5\nlui zero, 1\njal zero, .+4\nadd a0, zero, zero\necall')
    expect(m.x(0)).toBe(0n)
    expect(m.x(10)).toBe(0n)
  })
})

describe('loads and stores', () => {
  const data = RAM + 0x1000
  it.each([
    ['lb', BigInt.asIntN(8, PATTERN >> 56n), 7],
    ['lbu', PATTERN >> 56n, 7],
    ['lh', BigInt.asIntN(16, PATTERN >> 48n), 6],
    ['lhu', PATTERN >> 48n, 6],
    ['lw', BigInt.asIntN(32, PATTERN >> 32n), 4],
    ['lwu', PATTERN >> 32n, 4],
    ['ld', BigInt.asIntN(64, PATTERN), 0],
  ])('%s, through a miss and through a hit', (name, result, offset) => {
    const m = new TestMachine()
    m.u64[m.host(data) / 8] = PATTERN
    m.run(`li a1, ${data}\n${name} a0, ${offset}(a1)\n${name} a2, ${offset}(a1)\necall`)
    expect(BigInt.asIntN(64, m.x(10))).toBe(result)
    expect(BigInt.asIntN(64, m.x(12))).toBe(result)
  })

  it.each([
    ['sb', 1],
    ['sh', 2],
    ['sw', 4],
    ['sd', 8],
  ])('%s writes its bytes and no others', (name, bytes) => {
    const m = new TestMachine()
    m.u8.fill(0xaa, m.host(data), m.host(data) + 32)
    m.setX(10, PATTERN)
    m.run(`li a1, ${data + 8}\n${name} a0, 0(a1)\n${name} a0, 8(a1)\necall`)
    for (let i = 0; i < 32; i++) {
      const inside = (i >= 8 && i < 8 + bytes) || (i >= 16 && i < 16 + bytes)
      const expected = inside ? Number((PATTERN >> BigInt(8 * (i % 8))) & 0xffn) : 0xaa
      expect(m.u8[m.host(data) + i], `byte ${i}`).toBe(expected)
    }
  })

  it('work misaligned, within a page and across two', () => {
    for (const address of [data + 1, data + 3, data + 0xff9, data + 0xffd, data + 0xfff]) {
      const m = new TestMachine()
      m.setX(12, PATTERN)
      m.run(`li a1, ${address}\nsd a2, 0(a1)\nld a0, 0(a1)\nlw a3, 1(a1)\nlhu a4, 5(a1)\necall`)
      expect(m.x(10)).toBe(PATTERN)
      expect(BigInt.asIntN(64, m.x(13))).toBe(BigInt.asIntN(32, PATTERN >> 8n))
      expect(m.x(14)).toBe((PATTERN >> 40n) & 0xffffn)
      for (let i = 0; i < 8; i++)
        expect(m.u8[m.host(address) + i]).toBe(Number((PATTERN >> BigInt(8 * i)) & 0xffn))
    }
  })
})

describe('jumps and branches', () => {
  it.each([
    ['beq', [true, false, false, false]],
    ['bne', [false, true, true, true]],
    ['blt', [false, true, false, false]],
    ['bge', [true, false, true, true]],
    ['bltu', [false, false, true, true]],
    ['bgeu', [true, true, false, false]],
  ] as const)('%s', (name, taken) => {
    const pairs = [
      [5n, 5n],
      [-1n, 1n],
      [1n, -1n],
      [MAX64, MIN64],
    ]
    pairs.forEach(([a, b], index) => {
      const m = new TestMachine()
      m.setX(11, a)
      m.setX(12, b)
      m.run(`li a0, 1\n${name} a1, a2, .+8\nli a0, 0\necall`)
      expect(m.x(10), `${a} ${b}`).toBe(taken[index] ? 1n : 0n)
    })
  })

  it('link the next instruction; jalr reads rs1 before it writes rd and drops bit 0', () => {
    const m = new TestMachine()
    m.run(`
      jal ra, over
      ecall
    over:
      auipc t0, 0
      jalr t0, 13(t0)
      ecall
      addi a0, t0, 0
      ecall`)
    expect(m.x(1)).toBe(BigInt(RAM + 4))
    expect(m.x(10)).toBe(BigInt(RAM + 16))
    expect(m.get('PC')).toBe(BigInt(RAM + 24))
  })

  it('run on and jump across pages, counting every instruction', () => {
    const m = new TestMachine()
    m.load('li a0, 1\nli a1, 2\nli a2, 3\nj .+4096', RAM + 0xff8)
    m.load('li a3, 4\nli a4, 5\nbeq zero, zero, .-4092', RAM + 0x2004)
    m.load('ecall', RAM + 0x1010)
    m.set('PC', BigInt(RAM + 0xff8))
    expect(m.engine.run()).toBe(Exit.VS_ECALL)
    expect([10, 11, 12, 13, 14].map((r) => m.x(r))).toEqual([1n, 2n, 3n, 4n, 5n])
    expect(m.get('PC')).toBe(BigInt(RAM + 0x1010))
    expect(m.get('INSTRET')).toBe(7n)
  })
})

describe('atomics', () => {
  const data = RAM + 0x1000
  const amo = (name: string, old: bigint, operand: bigint): [memory: bigint, rd: bigint] => {
    const m = new TestMachine()
    m.u64[m.host(data) / 8] = BigInt.asUintN(64, old)
    m.setX(12, operand)
    m.run(`li a1, ${data}\n${name} a0, a2, (a1)\necall`)
    return [BigInt.asIntN(64, m.u64[m.host(data) / 8]), BigInt.asIntN(64, m.x(10))]
  }
  it.each([
    ['amoswap.d', 1n, -2n, -2n],
    ['amoadd.d', MAX64, 1n, MIN64],
    ['amoxor.d', 0xffn, 0x0fn, 0xf0n],
    ['amoand.d', 0xffn, 0x0fn, 0x0fn],
    ['amoor.d', 0xf0n, 0x0fn, 0xffn],
    ['amomin.d', 1n, -1n, -1n],
    ['amomax.d', 1n, -1n, 1n],
    ['amominu.d', 1n, -1n, 1n],
    ['amomaxu.d', 1n, -1n, -1n],
  ])('%s', (name, old, operand, result) => {
    expect(amo(name, old, operand)).toEqual([result, old])
  })

  it.each([
    ['amoswap.w', 0x80000000n, 7n, 7n],
    ['amoadd.w', 0xffffffffn, 1n, 0n],
    ['amomin.w', 0xffffffffn, 1n, 0xffffffffn],
    ['amomax.w', 0xffffffffn, 1n, 1n],
    ['amominu.w', 0xffffffffn, 1n, 1n],
    ['amomaxu.w', 0xffffffffn, 1n, 0xffffffffn],
    ['amomaxu.w', 5n, 0x7_0000_0004n, 5n],
  ])('%s touches 32 bits and sign-extends rd', (name, old, operand, result) => {
    const above = 0x12345678n << 32n
    expect(amo(name, above | old, operand)).toEqual([above | result, BigInt.asIntN(32, old)])
  })

  /** Runs lr, then `between`, then sc; rd of sc and the memory. */
  const reserve = (between: string, lr = 'lr.d', sc = 'sc.d'): [bigint, bigint] => {
    const m = new TestMachine()
    m.u64[m.host(data) / 8] = 5n
    m.run(`li a1, ${data}\nli a2, 9\n${lr} a0, (a1)\n${between}\n${sc} a3, a2, (a1)\necall`)
    return [m.x(13), m.u64[m.host(data) / 8]]
  }
  it('sc stores while the reservation holds, once, at its address and width', () => {
    expect(reserve('nop')).toEqual([0n, 9n])
    expect(reserve('sd zero, 0(a1)')).toEqual([1n, 0n])
    expect(reserve('sc.d a4, a0, (a1)')).toEqual([1n, 5n])
    expect(reserve('addi a1, a1, 8')).toEqual([1n, 5n])
    expect(reserve('nop', 'lr.w', 'sc.d')).toEqual([1n, 5n])
    expect(reserve('nop', 'lr.w', 'sc.w')).toEqual([0n, 9n])
  })
})
