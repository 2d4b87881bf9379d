// 16-bit instructions in the engine, and 32-bit ones that lie at any half word: across two pages, with faults.

import { describe, expect, it } from 'vitest'
import { Pte } from '../riscv/pagetable.ts'
import { Cause } from '../riscv/trap.ts'
import { RAM, RWX, TestMachine } from './testing/machine.ts'
import { mapPage, mapSv39 } from './testing/paging.ts'
import { Exit } from './vcpu-block.ts'

const HANDLER = RAM + 0x8000
const { R, W, X, A, D } = Pte
/** The last half word of RAM's second page. */
const EDGE = RAM + 0x1ffe

const at = (offset: number): bigint => BigInt(RAM + offset)

function machine(): TestMachine {
  const m = new TestMachine()
  mapSv39(m, RWX | A | D)
  m.load('ecall', HANDLER)
  m.set('STVEC', BigInt(HANDLER))
  return m
}

/** Runs from `start`; the machine's exit. */
function runFrom(m: TestMachine, start: number): number {
  m.set('PC', BigInt(start))
  return m.engine.run()
}

describe('16-bit instructions', () => {
  it('link the next half word, and jump to any half word', () => {
    const m = machine()
    m.run(`
      auipc t0, 0
      addi t0, t0, 14
      c.jalr t0
      ecall
      c.li a0, 9
      c.li a0, 5
      jal t1, .+6
      c.li a0, 9
      ecall`)
    expect(m.x(10)).toBe(5n)
    expect(m.x(6)).toBe(at(22))
    expect(m.x(1)).toBe(at(10))
    expect(m.get('PC')).toBe(at(24))
  })

  it('count one each, whether or not they jump, trap or leave the page', () => {
    const m = machine()
    m.load(
      'c.li a0, 1\nc.j .+2\nc.addi a0, 1\nnop\nc.beqz a0, .+4\nc.bnez a0, .+4\nc.addi a0, 1\necall',
      EDGE - 6,
    )
    expect(runFrom(m, EDGE - 6)).toBe(Exit.VS_ECALL)
    expect(m.x(10)).toBe(2n)
    expect(m.get('INSTRET')).toBe(6n)
    expect(m.get('PC')).toBe(BigInt(EDGE + 10))
    m.set('INSTRET', 0n)
    m.run('c.nop\nc.nop\nc.ebreak')
    // Those two, and none of the trap or its handler.
    expect(m.get('INSTRET')).toBe(2n)
  })

  it('trap with their own address and bits', () => {
    const m = machine()
    m.run('c.nop\nc.ebreak')
    expect([m.get('SCAUSE'), m.get('SEPC'), m.get('STVAL')]).toEqual([BigInt(Cause.BREAKPOINT), at(2), at(2)])
    // c.lwsp with rd = 0 is reserved.
    m.run('c.nop\n.half 0x4012\n.half 0xffff')
    expect([m.get('SCAUSE'), m.get('SEPC'), m.get('STVAL')]).toEqual([
      BigInt(Cause.ILLEGAL_INSTRUCTION),
      at(2),
      0x4012n,
    ])
  })

  it('are expanded for the hypervisor, which learns their length', () => {
    const m = new TestMachine()
    m.setX(11, 0x1000n)
    m.setX(2, 0x2000n)
    expect(m.run('c.nop\nc.lw a0, 4(a1)')).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    expect(m.get32('EXIT_INSN')).toBe(0x0045a503)
    expect(m.get32('EXIT_INSN_LEN')).toBe(2)
    expect(m.run('c.nop\nc.sdsp a1, 8(sp)')).toBe(Exit.STORE_GUEST_PAGE_FAULT)
    expect(m.get32('EXIT_INSN')).toBe(0x00b13423)
    expect(m.get32('EXIT_INSN_LEN')).toBe(2)
    expect(m.get('PC')).toBe(at(2))
  })
})

describe('an instruction across two pages', () => {
  const across = (m: TestMachine): void => m.load('addi a0, a0, 5\necall', EDGE)

  it('takes its halves from two frames that are not neighbours, and counts once', () => {
    const m = machine()
    mapPage(m, RAM + 0x2000, RAM + 0x5000, RWX | A | D)
    across(m)
    // The second half where the page really is, another where it would be by addition.
    m.u8.copyWithin(m.host(RAM + 0x5000), m.host(RAM + 0x2000), m.host(RAM + 0x2000) + 16)
    m.u8.fill(0, m.host(RAM + 0x2000), m.host(RAM + 0x2000) + 16)
    expect(runFrom(m, EDGE)).toBe(Exit.VS_ECALL)
    expect(m.x(10)).toBe(5n)
    expect(m.get('INSTRET')).toBe(1n)
    expect(m.get('PC')).toBe(BigInt(EDGE + 4))
  })

  it('jumps and links from the edge', () => {
    const m = machine()
    m.load('jal ra, .+8\nnop\necall', EDGE)
    expect(runFrom(m, EDGE)).toBe(Exit.VS_ECALL)
    expect(m.x(1)).toBe(BigInt(EDGE + 4))
    expect(m.get('PC')).toBe(BigInt(EDGE + 8))
    m.load('beq zero, zero, .-8', EDGE)
    m.load('c.nop\necall', EDGE - 8)
    expect(runFrom(m, EDGE)).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(EDGE - 6))
  })

  it('faults at the half that is missing: stval there, sepc at the start', () => {
    const m = machine()
    across(m)
    mapPage(m, RAM + 0x2000, RAM + 0x2000, R | W | A | D)
    expect(runFrom(m, EDGE)).toBe(Exit.VS_ECALL)
    expect([m.get('SCAUSE'), m.get('SEPC'), m.get('STVAL')]).toEqual([
      BigInt(Cause.INSTRUCTION_PAGE_FAULT),
      BigInt(EDGE),
      BigInt(RAM + 0x2000),
    ])
    expect(m.x(10)).toBe(0n)
  })

  it('reports the second page to the hypervisor, and runs when it is there', () => {
    const m = machine()
    across(m)
    m.mapGstage(2, 0)
    expect(runFrom(m, EDGE)).toBe(Exit.FETCH_GUEST_PAGE_FAULT)
    expect(m.get('EXIT_STVAL')).toBe(BigInt(RAM + 0x2000))
    expect(m.get('EXIT_GPA')).toBe(BigInt(RAM + 0x2000))
    expect(m.get32('EXIT_INSN_LEN')).toBe(0)
    expect(m.get('PC')).toBe(BigInt(EDGE))
    expect(m.get('INSTRET')).toBe(0n)
    m.mapGstage(2, R | X)
    expect(m.engine.run()).toBe(Exit.VS_ECALL)
    expect(m.x(10)).toBe(5n)
  })

  it('needs no second page when the last half word is an instruction', () => {
    const m = machine()
    m.load('c.j .-4', EDGE)
    m.load('ecall', EDGE - 4)
    m.mapGstage(2, 0)
    expect(runFrom(m, EDGE)).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(EDGE - 4))
  })
})
