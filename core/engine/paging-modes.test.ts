// The deeper paging modes: privileged architecture 20240411, 12.5 and 12.6.

import { describe, expect, it } from 'vitest'
import { Pte } from '../riscv/pagetable.ts'
import { RAM, TestMachine } from './testing/machine.ts'
import { DATA, LOAD, machine, outcome } from './testing/paged-machine.ts'
import { SV39_ROOT, writeGuestPte } from './testing/paging.ts'

const { V, R, W, A, D } = Pte

describe('Sv48 and Sv57', () => {
  const TABLES = RAM + 0x60000
  /** Puts levels above the Sv39 tables and sets satp: RAM then lies at its own address and at `base` + it. */
  const deep = (levels: 1 | 2, base: bigint): TestMachine => {
    const m = machine()
    let below = SV39_ROOT
    for (let level = 3; level < 3 + levels; level++) {
      const table = TABLES + level * 0x1000
      const index = Number((base >> BigInt(12 + 9 * level)) & 511n)
      writeGuestPte(m, table, 0, TestMachine.pte(below, V))
      writeGuestPte(m, table, index, TestMachine.pte(below, V))
      below = table
    }
    m.set('SATP', (BigInt(8 + levels) << 60n) | (BigInt(below) >> 12n))
    m.engine.flushTlb()
    return m
  }

  it.each([
    ['Sv48', 1, 0x7f80_0000_0000n, 0xffff_8000_0000_0000n],
    ['Sv57', 2, 0xff_7f80_0000_0000n, 0xff00_0000_0000_0000n],
  ] as const)('%s translates all its levels, and no address beyond them', (_name, levels, low, high) => {
    for (const base of [low, high]) {
      const m = deep(levels, base)
      m.u32[m.host(DATA + 4) / 4] = 0x1234
      m.setX(11, base + BigInt(DATA))
      expect(outcome(m, 'lw a0, 4(a1)\necall')).toBe('ok')
      expect(m.x(10)).toBe(0x1234n)
      // One bit more than the mode has, and the sign bit alone.
      for (const va of [BigInt(DATA) + (1n << BigInt(39 + 9 * levels)), BigInt(DATA) + (1n << 63n)]) {
        m.setX(11, va)
        expect(outcome(m, LOAD)).toBe(`trap 13 at ${va.toString(16)}`)
      }
    }
  })

  it('superpages of the upper levels translate all their bits; misaligned ones fault', () => {
    const m = deep(2, 0xff_7f80_0000_0000n)
    // 512 GiB and 256 TiB leaves at guest physical address 0.
    writeGuestPte(m, TABLES + 0x3000, 7, TestMachine.pte(0, V | R | W | A | D))
    writeGuestPte(m, TABLES + 0x4000, 9, TestMachine.pte(0, V | R | W | A | D))
    writeGuestPte(m, TABLES + 0x4000, 10, TestMachine.pte(2 ** 40, V | R | W | A | D))
    m.u32[m.host(DATA + 8) / 4] = 0x4321
    for (const base of [7n << 39n, 9n << 48n]) {
      m.setX(11, base + BigInt(DATA))
      expect(outcome(m, 'lw a0, 8(a1)\necall')).toBe('ok')
      expect(m.x(10)).toBe(0x4321n)
    }
    m.setX(11, 10n << 48n)
    expect(outcome(m, LOAD)).toBe(`trap 13 at ${(10n << 48n).toString(16)}`)
  })
})
