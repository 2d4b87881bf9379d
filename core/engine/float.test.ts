// F and D in the machine: when they are illegal, the state's dirty bits, NaN boxing, and the two ways to a sum.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Sstatus } from '../riscv/csr.ts'
import { Cause } from '../riscv/trap.ts'
import { RAM, TestMachine } from './testing/machine.ts'

const STVEC = RAM + 0x800
const INITIAL = 1n << 13n

const machineWith = (fs: bigint): TestMachine => {
  const machine = new TestMachine()
  machine.set('SSTATUS', fs)
  machine.set('STVEC', BigInt(STVEC))
  machine.load('ecall', STVEC)
  machine.setX(10, BigInt(RAM + 0x1000))
  return machine
}
const f = (machine: TestMachine, register: number): bigint =>
  machine.u64[machine.fieldAddress('F') / 8 + register]

const trapsAsIllegal = (fs: bigint, source: string): boolean => {
  const machine = machineWith(fs)
  machine.run(`${source}\necall`)
  return machine.get('SCAUSE') === BigInt(Cause.ILLEGAL_INSTRUCTION)
}

describe('floating point', () => {
  it.each([
    'fadd.d f1, f2, f3, rne',
    'fld f1, 0(a0)',
    'fsw f1, 0(a0)',
    'c.fld f8, 0(a0)',
    'fmv.x.d a1, f1',
    'csrr a1, fcsr',
    'csrw frm, zero',
  ])('%s is illegal while sstatus.FS is off, and not otherwise', (source) => {
    expect(trapsAsIllegal(0n, source)).toBe(true)
    expect(trapsAsIllegal(INITIAL, source)).toBe(false)
  })

  it('a reserved rounding mode is illegal, in the instruction and in frm', () => {
    expect(trapsAsIllegal(INITIAL, 'fadd.d f1, f2, f3, 5')).toBe(true)
    expect(trapsAsIllegal(INITIAL, 'li a1, 6\ncsrw frm, a1\nfadd.d f1, f2, f3, dyn')).toBe(true)
    expect(trapsAsIllegal(INITIAL, 'li a1, 6\ncsrw frm, a1\nfadd.d f1, f2, f3, rtz')).toBe(false)
  })

  it('what writes floating-point state makes it dirty, what reads it does not', () => {
    const sstatusOf = (source: string): bigint => {
      const machine = machineWith(INITIAL)
      machine.run(`${source}\ncsrr a2, sstatus\necall`)
      return machine.x(12)
    }
    const dirty = BigInt(Sstatus.FS) | (1n << 63n) | (2n << 32n)
    expect(sstatusOf('fld f1, 0(a0)')).toBe(dirty)
    expect(sstatusOf('fmv.d.x f1, a0')).toBe(dirty)
    expect(sstatusOf('csrw fflags, zero')).toBe(dirty)
    expect(sstatusOf('fsd f1, 0(a0)')).toBe(INITIAL | (2n << 32n))
    expect(sstatusOf('fmv.x.d a1, f1')).toBe(INITIAL | (2n << 32n))
  })

  it('32 bits are boxed in ones, and are a NaN where they are not', () => {
    const machine = machineWith(INITIAL)
    machine.run(
      'li a1, 0x3f800000\nfmv.w.x f1, a1\nfmv.d.x f2, a1\nfadd.s f3, f1, f2, rne\nfsw f1, 0(a0)\nflw f4, 0(a0)\necall',
    )
    expect(f(machine, 1)).toBe(0xffffffff3f800000n)
    expect(f(machine, 3)).toBe(0xffffffff7fc00000n)
    expect(f(machine, 4)).toBe(0xffffffff3f800000n)
  })

  it('fcsr is its flags and, above them, the rounding mode', () => {
    const machine = machineWith(INITIAL)
    machine.run(
      'li a1, 0xfff\ncsrw fcsr, a1\ncsrr a2, fflags\ncsrr a3, frm\ncsrw frm, zero\ncsrr a4, fcsr\necall',
    )
    expect([machine.x(12), machine.x(13), machine.x(14)]).toEqual([0x1fn, 7n, 0x1fn])
  })

  it('once NX is raised the short way gives what the exact one gives', () => {
    const ops = ['fadd', 'fsub', 'fmul', 'fdiv'] as const
    const machine = machineWith(INITIAL)
    const run = (source: string, a: bigint, b: bigint, raised: number): readonly [bigint, bigint] => {
      machine.setX(11, a)
      machine.setX(12, b)
      machine.run(
        `csrrwi zero, fflags, ${raised}\nfmv.d.x f1, a1\nfmv.d.x f2, a2\n${source}\ncsrrsi a3, fflags, 1\ncsrr a3, fflags\necall`,
      )
      return [f(machine, 3), machine.x(13)]
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...ops),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.boolean(),
        (op, a, b, single) => {
          const box = (value: bigint): bigint => (single ? 0xffffffff00000000n | value : value)
          const source = `${op}.${single ? 's' : 'd'} f3, f1, f2, rne`
          expect(run(source, box(a), box(b), 1)).toEqual(run(source, box(a), box(b), 0))
        },
      ),
      { numRuns: 1000 },
    )
  })
})
