// Two-stage translation with page tables built here: privileged architecture 20240411, 12.3-12.4 and 18.5.

import { describe, expect, it } from 'vitest'
import { pfn } from '../base/units.ts'
import { Sstatus } from '../riscv/csr.ts'
import { GSTAGE_ROOT_SIZE, gstageLeaf, Pte, pteTable } from '../riscv/pagetable.ts'
import { Cause, PSEUDO_READ_PTE64, PSEUDO_WRITE_PTE64 } from '../riscv/trap.ts'
import { HOST_TABLES, RAM, RAM_HPA, RWX, TestMachine } from './testing/machine.ts'
import { DATA, LOAD, machine, outcome, STORE, trap } from './testing/paged-machine.ts'
import { mapPage, SATP, SV39_LEAVES, SV39_MID, SV39_ROOT, writeGuestPte } from './testing/paging.ts'
import { Exit, TlbArray } from './vcpu-block.ts'

const { V, R, W, X, U, G, A, D } = Pte

describe('VS-stage permissions', () => {
  it.each([
    // flags, priv, sstatus, load, store
    ['supervisor page', R | W, 1, 0, true, true],
    ['read-only page', R, 1, 0, true, false],
    ['execute-only page', X, 1, 0, false, false],
    ['execute-only page with MXR', X, 1, Sstatus.MXR, true, false],
    ['user page from VS', R | W | U, 1, 0, false, false],
    ['user page from VS with SUM', R | W | U, 1, Sstatus.SUM, true, true],
    ['supervisor page from VU', R | W, 0, 0, false, false],
    ['user page from VU', R | W | U, 0, 0, true, true],
    ['user execute-only page with MXR from VU', X | U, 0, Sstatus.MXR, true, false],
    ['write-only page (reserved)', W, 1, 0, false, false],
    ['write-execute page (reserved)', W | X, 1, 0, false, false],
    ['global page', R | W | G, 1, 0, true, true],
  ])('%s', (_name, flags, priv, status, canLoad, canStore) => {
    const m = machine(priv as 0 | 1)
    mapPage(m, DATA, DATA, flags | A | D)
    m.set('SSTATUS', BigInt(status))
    expect(outcome(m, LOAD)).toBe(canLoad ? 'ok' : trap(Cause.LOAD_PAGE_FAULT))
    m.set32('PRIV', priv)
    m.set('SSTATUS', BigInt(status))
    expect(outcome(m, STORE)).toBe(canStore ? 'ok' : trap(Cause.STORE_PAGE_FAULT))
    m.set32('PRIV', priv)
    m.set('SSTATUS', BigInt(status))
    expect(outcome(m, 'amoadd.w a0, a2, (a1)\necall')).toBe(canStore ? 'ok' : trap(Cause.STORE_PAGE_FAULT))
    m.set32('PRIV', priv)
    m.set('SSTATUS', BigInt(status))
    expect(outcome(m, 'lr.w a0, (a1)\necall')).toBe(canLoad ? 'ok' : trap(Cause.LOAD_PAGE_FAULT))
  })

  it.each([
    ['supervisor page', RWX, 1, true],
    ['no execute', R | W, 1, false],
    ['user page from VS, SUM or not', RWX | U, 1, false],
    ['user page from VU', X | U, 0, true],
    ['supervisor page from VU', RWX, 0, false],
  ])('fetch: %s', (_name, flags, priv, ok) => {
    const m = machine(priv as 0 | 1)
    mapPage(m, DATA, DATA, flags | A | D)
    m.set('SSTATUS', BigInt(Sstatus.SUM))
    m.load('ecall', DATA)
    expect(outcome(m, 'jr a1')).toBe(ok ? 'ok' : trap(Cause.INSTRUCTION_PAGE_FAULT))
    // The jump itself retired.
    if (!ok) expect(m.get('SEPC')).toBe(BigInt(DATA))
  })

  it('a permission taken away by sstatus holds at once', () => {
    const m = machine()
    mapPage(m, DATA, DATA, R | W | U | A | D)
    m.set('SSTATUS', BigInt(Sstatus.SUM))
    m.setX(13, BigInt(Sstatus.SUM))
    expect(outcome(m, `lw a0, 0(a1)\nsw a0, 0(a1)\ncsrc sstatus, a3\n${LOAD}`)).toBe(
      trap(Cause.LOAD_PAGE_FAULT),
    )
    expect(outcome(m, STORE)).toBe(trap(Cause.STORE_PAGE_FAULT))
  })
})

describe('VS-stage entries', () => {
  const faults = (m: TestMachine): string => outcome(m, LOAD)
  it('invalid, reserved bits, non-canonical addresses and missing levels fault', () => {
    for (const entry of [
      0n,
      TestMachine.pte(DATA, R | W | A | D),
      TestMachine.pte(DATA, V | R | A | D) | (1n << 54n),
      TestMachine.pte(DATA, V | R | A | D) | (1n << 61n),
      TestMachine.pte(DATA, V | R | A | D) | (1n << 63n),
      // A pointer at the last level.
      TestMachine.pte(DATA, V),
    ]) {
      const m = machine()
      writeGuestPte(m, SV39_LEAVES, (DATA - RAM) / 4096, entry)
      expect(faults(m), entry.toString(16)).toBe(trap(Cause.LOAD_PAGE_FAULT))
    }
    const m = machine()
    for (const va of [
      RAM + 2 ** 38 * 2,
      2n ** 39n + BigInt(DATA),
      2n ** 63n + BigInt(DATA),
      0x4000n,
      0xc0000000n,
    ]) {
      m.setX(11, BigInt(va))
      expect(faults(m)).toBe(`trap 13 at ${BigInt(va).toString(16)}`)
    }
  })

  it('pointers with A, D or U set are reserved', () => {
    for (const bit of [A, D, U]) {
      const m = machine()
      // RAM + 2 MiB goes through a pointer of its own.
      writeGuestPte(m, SV39_MID, 1, TestMachine.pte(SV39_LEAVES, V | bit))
      m.setX(11, BigInt(RAM + 0x200000))
      expect(outcome(m, LOAD)).toBe(trap(Cause.LOAD_PAGE_FAULT, RAM + 0x200000))
    }
  })

  it('superpages translate all their bits; misaligned ones fault', () => {
    const m = machine()
    m.u32[m.host(DATA + 8) / 4] = 0x1234
    // 2 MiB at the next 2 MiB of virtual addresses, and 1 GiB at 0x40000000, both to RAM.
    writeGuestPte(m, SV39_MID, 1, TestMachine.pte(RAM, V | R | W | A | D))
    writeGuestPte(m, SV39_ROOT, 1, TestMachine.pte(RAM, V | R | W | A | D))
    for (const va of [DATA + 0x200000, 0x40000000 + (DATA - RAM)]) {
      m.setX(11, BigInt(va))
      m.setX(10, 0n)
      expect(outcome(m, 'lw a0, 8(a1)\necall')).toBe('ok')
      expect(m.x(10)).toBe(0x1234n)
    }
    writeGuestPte(m, SV39_MID, 2, TestMachine.pte(RAM + 0x1000, V | R | W | A | D))
    writeGuestPte(m, SV39_ROOT, 0, TestMachine.pte(RAM + 0x200000, V | R | W | A | D))
    for (const va of [RAM + 0x400000, 0x1000]) {
      m.setX(11, BigInt(va))
      expect(outcome(m, LOAD)).toBe(trap(Cause.LOAD_PAGE_FAULT, va))
    }
  })

  it('A is set by a load, D only by a store', () => {
    const m = machine()
    const entry = (): bigint => m.u64[m.host(SV39_LEAVES) / 8 + (DATA - RAM) / 4096]
    mapPage(m, DATA, DATA, R | W)
    expect(outcome(m, LOAD)).toBe('ok')
    expect(entry()).toBe(TestMachine.pte(DATA, V | R | W | A))
    expect(outcome(m, STORE)).toBe('ok')
    expect(entry()).toBe(TestMachine.pte(DATA, V | R | W | A | D))
    // Nothing is set by an access that is not allowed.
    mapPage(m, DATA, DATA, R)
    m.engine.flushTlb()
    expect(outcome(m, STORE)).toBe(trap(Cause.STORE_PAGE_FAULT))
    expect(entry()).toBe(TestMachine.pte(DATA, V | R))
  })

  it('sfence.vma and satp writes make changed entries seen', () => {
    const m = machine()
    m.u32[m.host(DATA) / 4] = 1
    m.u32[m.host(DATA + 0x1000) / 4] = 2
    const leaf = SV39_LEAVES + ((DATA - RAM) / 4096) * 8
    m.setX(13, BigInt(leaf))
    m.setX(14, TestMachine.pte(DATA + 0x1000, V | R | A))
    for (const fence of ['sfence.vma zero, zero', 'sfence.vma a1, zero', 'csrr t0, satp\ncsrw satp, t0']) {
      mapPage(m, DATA, DATA, R | A)
      m.engine.flushTlb()
      expect(outcome(m, `lw a0, 0(a1)\nsd a4, 0(a3)\n${fence}\nlw a5, 0(a1)\necall`)).toBe('ok')
      expect([m.x(10), m.x(15)], fence).toEqual([1n, 2n])
    }
  })

  it('sfence.vma of an address forgets its page and keeps the others', () => {
    const m = machine()
    m.setX(13, BigInt(DATA + 0x1000))
    expect(outcome(m, 'lw a0, 0(a1)\nlw a0, 0(a3)\nsfence.vma a1, zero\necall')).toBe('ok')
    expect(m.tlbTag(TlbArray.S_READ, DATA)).not.toBe(BigInt(DATA))
    expect(m.tlbTag(TlbArray.S_READ, DATA + 0x1000)).toBe(BigInt(DATA + 0x1000))
    // The empty place is one that no address hits, the last one too.
    m.setX(14, BigInt(RAM + 0x1ff000))
    mapPage(m, RAM + 0x1ff000, DATA, R | A)
    expect(outcome(m, 'lw a0, 0(a4)\nsfence.vma a4, zero\nlw a0, 0(a4)\necall')).toBe('ok')
  })

  it.each([1, 2])('sfence.vma of an address in a large page of level %i forgets all of that', (level) => {
    const m = machine()
    const [table, index] = level === 1 ? [SV39_MID, 1] : [SV39_ROOT, 1]
    const base = level === 1 ? RAM + 0x200000 : 0x40000000
    writeGuestPte(m, table, index, TestMachine.pte(RAM, V | R | W | A | D))
    m.u32[m.host(DATA) / 4] = 1
    m.u32[m.host(DATA + 0x1000) / 4] = 2
    m.setX(11, BigInt(base + (DATA - RAM)))
    m.setX(13, BigInt(base + (DATA - RAM) + 0x1000))
    expect(outcome(m, 'lw a0, 0(a1)\nlw a5, 0(a3)\necall')).toBe('ok')
    expect([m.x(10), m.x(15)]).toEqual([1n, 2n])
    writeGuestPte(m, table, index, 0n)
    // Cached still; then gone by the neighbour's address.
    expect(outcome(m, 'lw a0, 0(a1)\necall')).toBe('ok')
    expect(outcome(m, 'sfence.vma a3, zero\nlw a0, 0(a1)\necall')).toBe(
      trap(Cause.LOAD_PAGE_FAULT, base + (DATA - RAM)),
    )
  })

  it('turning translation on and off takes effect at the next instruction', () => {
    const m = machine()
    // The code's page maps to another frame, so that what follows the write differs.
    mapPage(m, RAM, RAM + 0x3000, RWX | A | D)
    m.set('SATP', 0n)
    m.engine.flushTlb()
    m.setX(10, SATP)
    m.load('csrw satp, a0\nli a2, 1\necall', RAM)
    m.load('nop\nli a2, 2\necall', RAM + 0x3000)
    m.set('PC', BigInt(RAM))
    expect(m.engine.run()).toBe(Exit.VS_ECALL)
    expect(m.x(12)).toBe(2n)
  })
})

describe('G stage', () => {
  const PAGE = (DATA - RAM) / 4096
  /** Runs, and returns what the hypervisor sees. */
  const exits = (m: TestMachine, source: string) => {
    const exit = m.run(source)
    return {
      exit,
      va: m.get('EXIT_STVAL'),
      gpa: m.get('EXIT_GPA'),
      insn: m.get32('EXIT_INSN'),
      length: m.get32('EXIT_INSN_LEN'),
      pc: m.get('PC'),
    }
  }
  const bare = (): TestMachine => {
    const m = new TestMachine()
    m.setX(11, BigInt(DATA))
    return m
  }

  it('reports the exact address and the instruction, and the access succeeds when repeated', () => {
    const m = machine()
    mapPage(m, DATA, DATA + 0x1000, R | W | A | D)
    m.mapGstage(PAGE + 1, 0)
    m.u32[m.host(DATA + 0x1000) / 4 + 1] = 77
    const seen = { va: BigInt(DATA + 4), gpa: BigInt(DATA + 0x1004), length: 4, pc: BigInt(RAM + 4) }
    expect(exits(m, 'nop\nlw a0, 4(a1)\necall')).toEqual({
      ...seen,
      exit: Exit.LOAD_GUEST_PAGE_FAULT,
      insn: 0x0045a503,
    })
    expect(m.get('INSTRET')).toBe(1n)
    expect(m.get('EXIT_SCAUSE')).toBe(21n)
    m.mapGstage(PAGE + 1, R)
    expect(m.engine.run()).toBe(Exit.VS_ECALL)
    expect(m.x(10)).toBe(77n)
    expect(exits(m, 'nop\nsw a0, 4(a1)\necall')).toEqual({
      ...seen,
      exit: Exit.STORE_GUEST_PAGE_FAULT,
      insn: 0x00a5a223,
    })
    expect(exits(m, 'nop\nlw a0, 4(a1)\namoor.w a0, a0, (a1)').exit).toBe(Exit.STORE_GUEST_PAGE_FAULT)
  })

  it('a fetch fault has no instruction', () => {
    const m = bare()
    m.mapGstage(PAGE, R | W)
    expect(exits(m, 'jr a1')).toEqual({
      exit: Exit.FETCH_GUEST_PAGE_FAULT,
      va: BigInt(DATA),
      gpa: BigInt(DATA),
      insn: 0,
      length: 0,
      pc: BigInt(DATA),
    })
  })

  it('addresses beyond 41 bits, unmapped gigabytes and an absent root fault', () => {
    const m = bare()
    for (const gpa of [2n ** 41n, 2n ** 63n, 2n ** 64n - 8n, 0n, 2n ** 41n - 8n]) {
      m.setX(11, gpa)
      expect(exits(m, 'ld a0, 0(a1)')).toMatchObject({ exit: Exit.LOAD_GUEST_PAGE_FAULT, gpa, va: gpa })
    }
    // What lies behind the root table is no part of it: here a fine leaf, were it entry 2048 + 5.
    m.setGstageUpper(1, 5, gstageLeaf(pfn(0), RWX))
    const gpa = 2n ** 41n + 5n * 2n ** 30n
    m.setX(11, gpa)
    expect(exits(m, 'ld a0, 0(a1)')).toMatchObject({ exit: Exit.LOAD_GUEST_PAGE_FAULT, gpa })
    m.set32('HGATP_ROOT', 0)
    m.engine.flushTlb()
    expect(exits(m, 'nop')).toMatchObject({ exit: Exit.FETCH_GUEST_PAGE_FAULT, gpa: BigInt(RAM) })
  })

  it('an empty TLB is hit by no address', () => {
    const m = bare()
    for (const va of [2n ** 64n - 1n, 2n ** 64n - 4096n, 0n, 0x1ff000n, 0xfffn, 2n ** 62n]) {
      m.engine.flushTlb()
      m.setX(11, va)
      expect(exits(m, 'lb a0, 0(a1)')).toMatchObject({ exit: Exit.LOAD_GUEST_PAGE_FAULT, va })
      expect(exits(m, 'sb a0, 0(a1)')).toMatchObject({ exit: Exit.STORE_GUEST_PAGE_FAULT, va })
    }
  })

  it('entries need U, A, for stores D, and no reserved bit; superpages must be aligned', () => {
    const frame = pfn(RAM_HPA / 4096 + PAGE)
    const good = gstageLeaf(frame, RWX)
    const load = 'lw a0, 0(a1)\necall'
    const outcomeOf = (entry: number | bigint, source: string): number => {
      const m = bare()
      m.setGstageEntry(PAGE, entry)
      m.load('ecall', DATA)
      return m.run(source)
    }
    expect(outcomeOf(good, load)).toBe(Exit.VS_ECALL)
    expect(outcomeOf(good, STORE)).toBe(Exit.VS_ECALL)
    for (const bit of [V, R, U, A])
      expect(outcomeOf(good - bit, load), String(bit)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    for (const bit of [V, R, W, U, A, D])
      expect(outcomeOf(good - bit, STORE), String(bit)).toBe(Exit.STORE_GUEST_PAGE_FAULT)
    expect(outcomeOf(good - D, load)).toBe(Exit.VS_ECALL)
    expect(outcomeOf(BigInt(good) | (1n << 54n), load)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    expect(outcomeOf(BigInt(good) | (1n << 63n), load)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    // Write without read is reserved, whatever the access.
    expect(outcomeOf(gstageLeaf(frame, X), 'jr a1')).toBe(Exit.VS_ECALL)
    expect(outcomeOf(gstageLeaf(frame, W | X), 'jr a1')).toBe(Exit.FETCH_GUEST_PAGE_FAULT)
    // A table pointer where only leaves can be, and a misaligned 2 MiB leaf.
    expect(outcomeOf(frame * 1024 + V, load)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    const m = bare()
    // Reserved bits of a pointer: the same table serves the next 2 MiB.
    for (const bit of [A, D, U]) {
      const pointer = pteTable(pfn((HOST_TABLES + GSTAGE_ROOT_SIZE) / 4096 + 1))
      m.setX(11, BigInt(DATA + 0x200000))
      m.setGstageUpper(1, 1, pointer)
      expect(m.run(load)).toBe(Exit.VS_ECALL)
      m.engine.flushTlb()
      m.setGstageUpper(1, 1, pointer + bit)
      expect(m.run(load), String(bit)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    }
    m.setGstageUpper(1, 1, gstageLeaf(frame, RWX))
    m.setX(11, BigInt(RAM + 0x200000))
    expect(m.run(load)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
  })

  it('the TLB takes a 2 MiB leaf page by page: a page not touched yet is walked anew once the leaf is a table', () => {
    const m = bare()
    const large = RAM + 0x600000
    const first = large + m.host(DATA)
    m.setGstageUpper(1, 3, gstageLeaf(pfn(0), RWX))
    const load = (at: number): number => {
      m.setX(11, BigInt(at))
      return m.run('lw a0, 0(a1)\necall')
    }
    expect(load(first)).toBe(Exit.VS_ECALL)
    m.setGstageUpper(1, 3, 0)
    expect(load(first)).toBe(Exit.VS_ECALL)
    expect(load(first + 0x1000)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    // A table that says the same about that page: RAM's own table of leaves holds its frame at its index.
    m.setGstageUpper(1, 3, pteTable(pfn((HOST_TABLES + GSTAGE_ROOT_SIZE) / 4096 + 1)))
    const page = (m.host(DATA) / 4096) % 512
    m.setGstageEntry(page, gstageLeaf(pfn(page), RWX))
    m.setGstageEntry(page + 1, 0)
    expect(load(first)).toBe(Exit.VS_ECALL)
    expect(load(first + 0x1000)).toBe(Exit.LOAD_GUEST_PAGE_FAULT)
    m.engine.flushTlb()
    expect(load(first)).toBe(Exit.VS_ECALL)
  })

  it('2 MiB and 1 GiB leaves translate all their bits', () => {
    const m = bare()
    // Frame 0 is aligned to anything: host memory from its start appears at these addresses.
    m.setGstageUpper(1, 3, gstageLeaf(pfn(0), R))
    m.setGstageUpper(2, 7, gstageLeaf(pfn(0), R))
    m.u32[m.host(DATA) / 4] = 99
    for (const gpa of [RAM + 0x600000, 7 * 2 ** 30]) {
      m.setX(11, BigInt(gpa + m.host(DATA)))
      m.setX(10, 0n)
      expect(m.run('lw a0, 0(a1)\necall')).toBe(Exit.VS_ECALL)
      expect(m.x(10)).toBe(99n)
    }
  })

  it('a walk through a missing table page faults at the entry, with the cause of the access', () => {
    const m = machine()
    m.run('ecall')
    m.mapGstage((SV39_LEAVES - RAM) / 4096, 0)
    const gpa = BigInt(SV39_LEAVES + PAGE * 8)
    const seen = { gpa, va: BigInt(DATA), insn: PSEUDO_READ_PTE64 }
    expect(exits(m, 'lw a0, 0(a1)')).toMatchObject({ ...seen, exit: Exit.LOAD_GUEST_PAGE_FAULT })
    expect(exits(m, 'sw a0, 0(a1)')).toMatchObject({ ...seen, exit: Exit.STORE_GUEST_PAGE_FAULT })
    expect(exits(m, 'jr a1')).toMatchObject({ ...seen, exit: Exit.FETCH_GUEST_PAGE_FAULT })
    // An explicit fault after it has its instruction again.
    m.mapGstage((SV39_LEAVES - RAM) / 4096, RWX)
    m.mapGstage(PAGE, 0)
    expect(exits(m, 'lw a0, 0(a1)')).toMatchObject({ gpa: BigInt(DATA), insn: 0x0005a503, length: 4 })
  })

  it('A and D need a writable table page', () => {
    const m = machine()
    mapPage(m, DATA, DATA, R | W)
    m.mapGstage((SV39_LEAVES - RAM) / 4096, R)
    const seen = { gpa: BigInt(SV39_LEAVES + PAGE * 8), va: BigInt(DATA), insn: PSEUDO_WRITE_PTE64 }
    expect(exits(m, 'lw a0, 0(a1)')).toMatchObject({ ...seen, exit: Exit.LOAD_GUEST_PAGE_FAULT })
    mapPage(m, DATA, DATA, R | W | A)
    expect(exits(m, 'lw a0, 0(a1)\nsw a0, 0(a1)')).toMatchObject({
      ...seen,
      exit: Exit.STORE_GUEST_PAGE_FAULT,
    })
  })

  it('a zapped page is gone after flushTlb', () => {
    const m = machine()
    expect(outcome(m, LOAD)).toBe('ok')
    m.mapGstage(PAGE, 0)
    expect(outcome(m, LOAD)).toBe('ok')
    m.engine.flushTlb()
    expect(outcome(m, LOAD)).toBe(`exit ${Exit.LOAD_GUEST_PAGE_FAULT}`)
  })
})

describe('accesses across two pages', () => {
  it('start only behind the last byte of a page', () => {
    const m = machine()
    mapPage(m, DATA + 0x1000, DATA + 0x1000, 0)
    m.setX(11, BigInt(DATA + 0xff8))
    for (const source of ['ld a0, 0(a1)', 'sd a0, 0(a1)', 'lw a0, 4(a1)', 'lb a0, 7(a1)', 'lw a0, 3(a1)']) {
      m.engine.flushTlb()
      expect(outcome(m, `${source}\necall`), source).toBe('ok')
    }
    expect(outcome(m, 'lw a0, 5(a1)\necall')).toBe(trap(Cause.LOAD_PAGE_FAULT, DATA + 0x1000))
  })

  it('a store that faults on the second page has not written the first', () => {
    const bytes = (m: TestMachine): number[] => [...m.u8.slice(m.host(DATA + 0xffc), m.host(DATA + 0x1004))]
    for (const stage of ['VS', 'G']) {
      const m = machine()
      if (stage === 'VS') mapPage(m, DATA + 0x1000, DATA + 0x1000, R | A | D)
      else m.mapGstage((DATA - RAM) / 4096 + 1, R)
      m.setX(12, 2n ** 64n - 1n)
      const expected =
        stage === 'VS' ? trap(Cause.STORE_PAGE_FAULT, DATA + 0x1000) : `exit ${Exit.STORE_GUEST_PAGE_FAULT}`
      m.setX(11, BigInt(DATA + 0xffd))
      expect(outcome(m, 'sd a2, 0(a1)\necall')).toBe(expected)
      expect(bytes(m)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
      if (stage === 'G') {
        expect(m.get('EXIT_STVAL')).toBe(BigInt(DATA + 0x1000))
        expect(m.get('EXIT_GPA')).toBe(BigInt(DATA + 0x1000))
      }
    }
  })

  it('go to two frames, also in VU', () => {
    const m = machine(0)
    mapPage(m, DATA, DATA + 0x3000, R | W | U | A | D)
    mapPage(m, DATA + 0x1000, DATA + 0x1000, R | W | U | A | D)
    m.setX(11, BigInt(DATA + 0xffe))
    m.setX(12, 0x8877665544332211n)
    expect(outcome(m, 'sd a2, 0(a1)\nld a0, 0(a1)\necall')).toBe('ok')
    expect(m.x(10)).toBe(0x8877665544332211n)
    expect([...m.u8.slice(m.host(DATA + 0x3ffe), m.host(DATA + 0x4000))]).toEqual([0x11, 0x22])
    expect([...m.u8.slice(m.host(DATA + 0x1000), m.host(DATA + 0x1006))]).toEqual([
      0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
    ])
  })
})

describe('code', () => {
  it('written by the guest is executed after fence.i', () => {
    const m = machine()
    // li a0, 42 over the instruction behind the fence.
    m.setX(12, 0x02a00513n)
    expect(outcome(m, 'auipc a1, 0\nsw a2, 12(a1)\nfence.i\nli a0, 1\necall')).toBe('ok')
    expect(m.x(10)).toBe(42n)
  })
})

describe('software TLB', () => {
  it('keeps VS and VU apart: a VS entry gives VU nothing', () => {
    const m = machine()
    expect(outcome(m, LOAD)).toBe('ok')
    expect(m.tlbTag(TlbArray.S_READ, DATA)).toBe(BigInt(DATA))
    expect(m.tlbTag(TlbArray.S_WRITE, DATA)).not.toBe(BigInt(DATA))
    expect(m.tlbTag(TlbArray.U_READ, DATA)).not.toBe(BigInt(DATA))
    m.set32('PRIV', 0)
    expect(outcome(m, LOAD)).toBe(trap(Cause.LOAD_PAGE_FAULT))
  })
})
