// Cache-block management and Svinval, by the specifications' text.

import { describe, expect, it } from 'vitest'
import { Senvcfg } from '../riscv/csr.ts'
import { Pte } from '../riscv/pagetable.ts'
import { Cause } from '../riscv/trap.ts'
import { RAM, RWX, TestMachine } from './testing/machine.ts'
import { mapPage, mapSv39, SV39_LEAVES } from './testing/paging.ts'
import { Exit } from './vcpu-block.ts'

const HANDLER = RAM + 0x8000
const DATA = RAM + 0x10000
const CODE = RAM + 0x20000
const { R, W, U, A, D } = Pte

function machine(priv: 0 | 1, data = R | W | A | D): TestMachine {
  const m = new TestMachine()
  mapSv39(m, RWX | A | D)
  mapPage(m, CODE, CODE, RWX | A | D | (priv ? 0 : U))
  mapPage(m, DATA, DATA, data | (priv ? 0 : U))
  m.load('ecall', HANDLER)
  m.set('STVEC', BigInt(HANDLER))
  m.set32('PRIV', priv)
  m.setX(11, BigInt(DATA + 100))
  m.u8.fill(0xaa, m.host(DATA), m.host(DATA) + 256)
  return m
}

/** scause and stval; 0 when the instruction did not trap. */
function outcome(m: TestMachine, source: string): [cause: number, value: bigint] {
  m.load(`${source}\nli a0, 1\necall`, CODE)
  m.set('PC', BigInt(CODE))
  m.setX(10, 0n)
  expect(m.engine.run()).toBe(Exit.VS_ECALL)
  return m.x(10) ? [0, 0n] : [Number(m.get('SCAUSE')), m.get('STVAL')]
}

describe('cbo.zero', () => {
  it('zeroes the block of 64 bytes around its address, and no other byte', () => {
    const m = machine(1)
    expect(outcome(m, 'cbo.zero (a1)')).toEqual([0, 0n])
    for (let i = 0; i < 256; i++) expect(m.u8[m.host(DATA) + i]).toBe(i >= 64 && i < 128 ? 0 : 0xaa)
  })

  it('needs the right to store', () => {
    expect(outcome(machine(1, R | A | D), 'cbo.zero (a1)')).toEqual([
      Cause.STORE_PAGE_FAULT,
      BigInt(DATA + 100),
    ])
  })
})

describe('cache management', () => {
  it.each(['cbo.inval', 'cbo.clean', 'cbo.flush'])('%s changes nothing, and faults as a store', (name) => {
    const m = machine(1, R | A)
    expect(outcome(m, `${name} (a1)`)).toEqual([0, 0n])
    expect(m.u8[m.host(DATA) + 100]).toBe(0xaa)
    mapPage(m, DATA, DATA, 0)
    m.engine.flushTlb()
    expect(outcome(m, `${name} (a1)`)).toEqual([Cause.STORE_PAGE_FAULT, BigInt(DATA + 100)])
    m.set('SATP', 0n)
    m.mapGstage((DATA - RAM) / 4096, 0)
    m.engine.flushTlb()
    m.set('PC', BigInt(CODE))
    expect(m.engine.run()).toBe(Exit.STORE_GUEST_PAGE_FAULT)
    expect(m.get('EXIT_GPA')).toBe(BigInt(DATA + 100))
  })

  it.each([
    ['cbo.inval', Senvcfg.CBIE],
    ['cbo.inval', 1 << 4],
    ['cbo.clean', Senvcfg.CBCFE],
    ['cbo.flush', Senvcfg.CBCFE],
    ['cbo.zero', Senvcfg.CBZE],
  ])('%s in VU is for senvcfg %i to allow', (name, bit) => {
    const all = Senvcfg.CBIE | Senvcfg.CBCFE | Senvcfg.CBZE
    const field = bit === 1 << 4 ? Senvcfg.CBIE : bit
    const m = machine(0)
    m.set('SENVCFG', BigInt(all & ~field))
    expect(outcome(m, `${name} (a1)`)[0]).toBe(Cause.ILLEGAL_INSTRUCTION)
    const allowed = machine(0)
    allowed.set('SENVCFG', BigInt(bit))
    outcome(allowed, `${name} (a1)`)
    expect(allowed.get('SCAUSE')).toBe(BigInt(Cause.ECALL_FROM_U))
  })

  it('the reserved value of CBIE becomes 0', () => {
    const m = new TestMachine()
    m.run('li a1, 0xe0\ncsrw senvcfg, a1\ncsrr a0, senvcfg\necall')
    expect(m.x(10)).toBe(0xc0n)
  })
})

describe('Svinval', () => {
  it('sinval.vma between its fences makes a changed entry seen', () => {
    const m = machine(1)
    mapPage(m, DATA + 0x1000, DATA + 0x1000, R | W | A | D)
    m.u8.fill(0xbb, m.host(DATA + 0x1000), m.host(DATA + 0x1000) + 256)
    const leaf = m.host(SV39_LEAVES) + ((DATA - RAM) / 4096) * 8
    expect(outcome(m, 'lbu a5, 0(a1)')).toEqual([0, 0n])
    expect(m.x(15)).toBe(0xaan)
    m.u64[leaf / 8] = TestMachine.pte(DATA + 0x1000, R | W | A | D | Pte.V)
    expect(outcome(m, 'sfence.w.inval\nsinval.vma a1, zero\nsfence.inval.ir\nlbu a5, 0(a1)')).toEqual([0, 0n])
    expect(m.x(15)).toBe(0xbbn)
  })

  it.each(['sinval.vma zero, zero', 'sfence.w.inval', 'sfence.inval.ir', 'sfence.vma zero, zero'])(
    '%s is not for VU',
    (source) => {
      expect(outcome(machine(0), source)[0]).toBe(Cause.ILLEGAL_INSTRUCTION)
    },
  )
})

describe('hints', () => {
  it('pause and fence.tso go on', () => {
    expect(outcome(machine(1), 'pause\nfence.tso')).toEqual([0, 0n])
  })
})
