// Traps, interrupts, sret and CSRs, by the privileged architecture's text.

import { describe, expect, it } from 'vitest'
import { Sstatus } from '../riscv/csr.ts'
import { Cause } from '../riscv/trap.ts'
import { RAM, TestMachine } from './testing/machine.ts'
import { Exit } from './vcpu-block.ts'

const HANDLER = RAM + 0x8000
const INTERRUPT = 1n << 63n

/** A machine whose trap handler is an ecall to the hypervisor, so that a trap ends `run`. */
function machine(priv: 0 | 1 = 1): TestMachine {
  const m = new TestMachine()
  m.load('ecall', HANDLER)
  m.set('STVEC', BigInt(HANDLER))
  m.set32('PRIV', priv)
  return m
}

/** Runs to the trap handler and returns what the trap recorded. */
function trap(m: TestMachine, source: string): { cause: number; epc: bigint; value: bigint } {
  expect(m.run(source)).toBe(Exit.VS_ECALL)
  expect(m.get('PC')).toBe(BigInt(HANDLER))
  expect(m.get32('PRIV')).toBe(1)
  return { cause: Number(m.get('SCAUSE')), epc: m.get('SEPC'), value: m.get('STVAL') }
}

describe('exceptions', () => {
  const at = (offset: number): bigint => BigInt(RAM + offset)
  it('take illegal instructions with the instruction in stval', () => {
    expect(trap(machine(), 'nop\n.word 0xffffffff')).toEqual({
      cause: Cause.ILLEGAL_INSTRUCTION,
      epc: at(4),
      value: 0xffffffffn,
    })
    // Words that share a decode index with an instruction, and compressed parcels (only 16 bits of them).
    for (const [word, value] of [
      [0x00200073, 0x00200073n],
      [0x30200073, 0x30200073n],
      [0x1015b52f, 0x1015b52fn],
      [0x00000000, 0n],
      [0xffff8000, 0x8000n],
    ] as const)
      expect(trap(machine(), `.word ${word}`)).toEqual({
        cause: Cause.ILLEGAL_INSTRUCTION,
        epc: at(0),
        value,
      })
  })

  it('take ebreak, and ecall from VU', () => {
    expect(trap(machine(), 'nop\nebreak')).toEqual({ cause: Cause.BREAKPOINT, epc: at(4), value: at(4) })
    expect(trap(machine(0), 'ecall')).toEqual({ cause: Cause.ECALL_FROM_U, epc: at(0), value: 0n })
  })

  it('take misaligned atomics', () => {
    const m = machine()
    m.setX(11, at(0x1004))
    expect(trap(m, 'lr.d a0, (a1)')).toEqual({ cause: Cause.LOAD_MISALIGNED, epc: at(0), value: at(0x1004) })
    expect(trap(m, 'sc.d a0, a2, (a1)').cause).toBe(Cause.STORE_MISALIGNED)
    expect(trap(m, 'amoadd.d a0, a2, (a1)').cause).toBe(Cause.STORE_MISALIGNED)
    m.setX(11, at(0x1002))
    expect(trap(m, 'amoadd.w a0, a2, (a1)').cause).toBe(Cause.STORE_MISALIGNED)
  })

  it('do not count the instruction that trapped', () => {
    const m = machine()
    trap(m, 'nop\nnop\nebreak')
    expect(m.get('INSTRET')).toBe(2n)
  })

  it('stack SIE and the privilege, and sret unstacks them', () => {
    const m = machine(0)
    m.set('SSTATUS', BigInt(Sstatus.SIE))
    trap(m, 'ebreak')
    expect(m.get('SSTATUS')).toBe(BigInt(Sstatus.SPIE))
    m.set('SEPC', BigInt(RAM + 0x100))
    m.load('ebreak', RAM + 0x100)
    trap(m, 'sret')
    // SPIE, set by sret, went to SPIE again through SIE.
    expect(m.get('SSTATUS')).toBe(BigInt(Sstatus.SPIE))
    expect(m.get('SEPC')).toBe(BigInt(RAM + 0x100))
  })

  it('sret sets SPIE, clears SPP and restores SIE from SPIE', () => {
    for (const [before, after] of [
      [Sstatus.SPP, Sstatus.SPIE],
      [Sstatus.SPP | Sstatus.SPIE, Sstatus.SPIE | Sstatus.SIE],
      [Sstatus.SPP | Sstatus.SIE | Sstatus.SUM, Sstatus.SPIE | Sstatus.SUM],
    ]) {
      const m = machine()
      m.set('SSTATUS', BigInt(before))
      m.set('SEPC', BigInt(RAM + 8))
      expect(m.run('sret\nebreak\necall')).toBe(Exit.VS_ECALL)
      expect(m.get('PC')).toBe(at(8))
      expect(m.get('SSTATUS')).toBe(BigInt(after))
      expect(m.get('INSTRET')).toBe(1n)
    }
  })

  it('make supervisor instructions illegal in VU', () => {
    for (const source of ['sret', 'wfi', 'sfence.vma zero, zero', 'csrr a0, sstatus', 'csrr a0, satp'])
      expect(trap(machine(0), source).cause, source).toBe(Cause.ILLEGAL_INSTRUCTION)
  })

  it('lose the reservation', () => {
    const m = machine()
    m.setX(11, at(0x1000))
    trap(m, 'lr.w a0, (a1)\nebreak')
    m.load('sc.w a2, a0, (a1)\necall', HANDLER)
    m.engine.run()
    expect(m.x(12)).toBe(1n)
  })
})

describe('exits', () => {
  it('VS ecall leaves with the pc at the ecall', () => {
    const m = machine()
    expect(m.run('nop\necall')).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(RAM + 4))
    expect(m.get('EXIT_SCAUSE')).toBe(10n)
    expect(m.get('INSTRET')).toBe(1n)
  })

  it('WFI in VS leaves as a virtual instruction', () => {
    const m = machine()
    expect(m.run('wfi')).toBe(Exit.VIRTUAL_INSTRUCTION)
    expect(m.get('PC')).toBe(BigInt(RAM))
    expect(m.get32('EXIT_INSN')).toBe(0x10500073)
    expect(m.get32('EXIT_INSN_LEN')).toBe(4)
    expect(m.get('EXIT_STVAL')).toBe(0x10500073n)
  })

  it('POLL leaves an endless loop, and at entry before anything runs', () => {
    const m = machine()
    m.set32('POLL', 1)
    expect(m.run('nop\necall')).toBe(Exit.POLL)
    expect(m.get('INSTRET')).toBe(0n)
    m.set32('POLL', 0)
    let looks = 0
    m.clock = () => {
      if (++looks === 3) m.set32('POLL', 1)
      return 0
    }
    m.set('SIE', 32n)
    m.set('SSTATUS', BigInt(Sstatus.SIE))
    expect(m.run('loop:\naddi a0, a0, 1\nj loop')).toBe(Exit.POLL)
    // Exact: two instructions a round, and the pc says whether the last round is complete.
    const half = m.get('PC') === BigInt(RAM + 4)
    expect(m.get('INSTRET')).toBe(m.x(10) * 2n - (half ? 1n : 0n))
  })
})

describe('interrupts', () => {
  const enabled = (sie: number): TestMachine => {
    const m = machine()
    m.set('SIE', BigInt(sie))
    m.set('SSTATUS', BigInt(Sstatus.SIE))
    return m
  }
  /** SCAUSE after running a loop that only an interrupt ends. */
  const interrupted = (m: TestMachine): bigint => {
    m.run('loop:\nj loop')
    return m.get('SCAUSE')
  }

  it('are taken at entry, in the order external, software, timer', () => {
    const m = enabled(0x222)
    m.set('STIMECMP', 0n)
    m.set32('PENDING', 0x202)
    expect(interrupted(m)).toBe(INTERRUPT | 9n)
    expect(m.get('SEPC')).toBe(BigInt(RAM))
    m.set32('PENDING', 0x002)
    m.set('SSTATUS', 2n)
    expect(interrupted(m)).toBe(INTERRUPT | 1n)
    m.set32('PENDING', 0)
    m.set('SSTATUS', 2n)
    expect(interrupted(m)).toBe(INTERRUPT | 5n)
  })

  it('come when the clock passes stimecmp while the guest runs', () => {
    const m = enabled(0x20)
    m.set('STIMECMP', 1000n)
    m.setTimeDelta(900)
    let ticks = 0
    m.clock = () => {
      ticks += 10
      return ticks
    }
    expect(interrupted(m)).toBe(INTERRUPT | 5n)
    expect(ticks).toBe(100)
    expect(m.get('INSTRET')).toBeGreaterThan(1000n)
  })

  it('wait for sie and for SIE, except in VU', () => {
    const m = enabled(0)
    m.set32('PENDING', 2)
    expect(m.run('nop\necall')).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(RAM + 4))
    m.set('SIE', 2n)
    m.set('SSTATUS', 0n)
    expect(m.run('nop\necall')).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(RAM + 4))
    m.set32('PRIV', 0)
    expect(interrupted(m)).toBe(INTERRUPT | 1n)
  })

  it.each([
    ['csrrsi zero, sstatus, 2', 0x202, 0],
    ['csrrsi zero, sie, 2', 0, 2],
    ['csrrsi zero, sip, 2', 0x202, 2],
    ['csrrw zero, stimecmp, zero', 0x220, 2],
    ['sret', 0x202, 0x20],
  ])('are taken right after %s', (source, sie, status) => {
    const m = machine()
    m.set('SIE', BigInt(sie))
    m.set('SSTATUS', BigInt(status | (source === 'sret' ? Sstatus.SPP : 0)))
    m.set('SEPC', BigInt(RAM + 4))
    if (!source.includes('sip') && !source.includes('stimecmp')) m.set32('PENDING', 2)
    m.run(`${source}\nnop\nebreak`)
    expect(m.get('SCAUSE') >> 63n).toBe(1n)
    expect(m.get('SEPC')).toBe(BigInt(RAM + 4))
    expect(m.get('INSTRET')).toBe(1n)
  })

  it('go to base + 4 * cause in vectored mode, exceptions to base', () => {
    const m = enabled(2)
    m.set('STVEC', BigInt(HANDLER + 1))
    m.set32('PENDING', 2)
    m.load('ecall\necall', HANDLER)
    interrupted(m)
    expect(m.get('PC')).toBe(BigInt(HANDLER + 4))
    m.run('ebreak')
    expect(m.get('PC')).toBe(BigInt(HANDLER))
  })
})

describe('CSRs', () => {
  /** Reads back after writing `value`. */
  const written = (name: string, value: bigint, before: (m: TestMachine) => void = () => {}): bigint => {
    const m = machine()
    before(m)
    m.setX(11, value)
    expect(m.run(`csrw ${name}, a1\ncsrr a0, ${name}\necall`)).toBe(Exit.VS_ECALL)
    expect(m.get('PC'), name).not.toBe(BigInt(HANDLER))
    return m.x(10)
  }
  const ALL = 2n ** 64n - 1n
  it.each([
    ['sstatus', (1n << 63n) | (2n << 32n) | 0xc6122n],
    ['sie', 0x222n],
    ['stvec', ALL & ~2n],
    ['scounteren', 7n],
    ['senvcfg', 0xf1n],
    ['sscratch', ALL],
    ['sepc', ALL & ~1n],
    ['scause', ALL],
    ['stval', ALL],
    ['stimecmp', ALL],
    ['sip', 2n],
    // MODE 15 is not supported: no effect.
    ['satp', 0n],
  ])('%s keeps its writable bits', (name, result) => {
    const masked = name === 'sstatus' ? ALL & ~2n : ALL
    expect(written(name, masked)).toBe(name === 'sstatus' ? result & ~2n : result)
    expect(written(name, 0n)).toBe(name === 'sstatus' ? 2n << 32n : 0n)
  })

  it.each([8n, 9n, 10n])('satp takes mode %i without an ASID', (mode) => {
    const m = machine()
    m.setX(11, (mode << 60n) | (0xffffn << 44n) | 5n)
    m.load('ecall', HANDLER)
    m.run('csrrw a0, satp, a1')
    expect(m.get('SATP')).toBe((mode << 60n) | 5n)
  })

  it.each([1n, 7n, 11n, 15n])('a satp of mode %i has no effect at all', (mode) => {
    const m = machine()
    m.setX(11, (mode << 60n) | 5n)
    expect(m.run('csrw satp, a1\necall')).toBe(Exit.VS_ECALL)
    expect(m.get('SATP')).toBe(0n)
  })

  it('sip shows pending interrupts and lets only SSIP be written', () => {
    const m = machine()
    m.set32('PENDING', 0x200)
    m.set('STIMECMP', 5n)
    m.clock = () => 5
    m.run('csrr a0, sip\ncsrrsi zero, sip, 2\ncsrr a1, sip\ncsrw sip, zero\ncsrr a2, sip\necall')
    expect([m.x(10), m.x(11), m.x(12)]).toEqual([0x220n, 0x222n, 0x220n])
    expect(m.get32('PENDING')).toBe(0x200)
  })

  it('set and clear act on the bits given; a zero source does not write', () => {
    const m = machine()
    m.set('SSCRATCH', 0xf0n)
    m.setX(11, 0x3cn)
    m.run(
      'csrrs a0, sscratch, a1\ncsrrc a2, sscratch, a1\ncsrrwi a3, sscratch, 31\ncsrrci a4, sscratch, 1\necall',
    )
    expect([10, 12, 13, 14].map((r) => m.x(r))).toEqual([0xf0n, 0xfcn, 0xc0n, 31n])
    expect(m.get('SSCRATCH')).toBe(30n)
    expect(m.run('csrrs a0, cycle, zero\ncsrrci a0, time, 0\necall')).toBe(Exit.VS_ECALL)
    expect(m.get('PC')).toBe(BigInt(RAM + 8))
  })

  it('read and write one register both ways', () => {
    const m = machine()
    m.set('SSCRATCH', 7n)
    m.setX(10, 9n)
    m.run('csrrw a0, sscratch, a0\necall')
    expect(m.x(10)).toBe(7n)
    expect(m.get('SSCRATCH')).toBe(9n)
  })

  it('time is the host clock plus the delta; cycle and instret count retired instructions', () => {
    const m = machine()
    m.clock = () => 1000.75
    m.setTimeDelta(234)
    m.run('nop\ncsrr a0, time\ncsrr a1, instret\ncsrr a2, cycle\necall')
    expect([m.x(10), m.x(11), m.x(12)]).toEqual([1234n, 2n, 3n])
  })

  it('counters need scounteren in VU', () => {
    for (const [name, bit] of [
      ['cycle', 1n],
      ['time', 2n],
      ['instret', 4n],
    ] as const) {
      const m = machine(0)
      m.set('SCOUNTEREN', 7n & ~bit)
      expect(trap(m, `csrr a0, ${name}`).cause, name).toBe(Cause.ILLEGAL_INSTRUCTION)
      m.set('SCOUNTEREN', bit)
      m.set32('PRIV', 0)
      expect(trap(m, `csrr a0, ${name}\necall`).cause, name).toBe(Cause.ECALL_FROM_U)
    }
  })

  it('unknown, read-only and more privileged CSRs are illegal', () => {
    for (const source of [
      'csrr a0, 0x800',
      'csrr a0, 0x001',
      'csrr a0, 0xc03',
      'csrr a0, 0x300',
      'csrr a0, 0x600',
      'csrr a0, 0x280',
      'csrw cycle, a0',
      'csrrsi a0, time, 1',
    ])
      expect(trap(machine(), source).cause, source).toBe(Cause.ILLEGAL_INSTRUCTION)
  })
})
