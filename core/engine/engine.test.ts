// The module as a whole: one for all vCPUs, optimisable while a guest runs, and safe against any guest.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hpa } from '../base/units.ts'
import { isa } from '../riscv/isa.ts'
import { Pte } from '../riscv/pagetable.ts'
import { Engine } from './engine.ts'
import { buildInterpreter } from './interpreter.ts'
import { HOST_TABLES, RAM, RAM_PAGES, RWX, TestMachine } from './testing/machine.ts'
import { mapSv39 } from './testing/paging.ts'
import { Exit, VCPU_BLOCK_SIZE, Vcpu } from './vcpu-block.ts'

const RAM_END = RAM + RAM_PAGES * 4096

describe('interpreter module', () => {
  it('has the same bytes every time, and fits the budget of an instant start', () => {
    const bytes = buildInterpreter(16)
    expect(buildInterpreter(16)).toEqual(bytes)
    expect(bytes.length).toBeLessThan(64 * 1024)
  })

  it('keeps the decode table inside the block, behind the TLBs', () => {
    expect(Vcpu.DECODE).toBeGreaterThanOrEqual(Vcpu.TLB + 6 * 512 * 16)
    expect(Vcpu.DECODE + 2 ** 15).toBeLessThanOrEqual(VCPU_BLOCK_SIZE)
  })

  it('refuses a memory of another size than its own', () => {
    const memory = new WebAssembly.Memory({ shared: true, initial: 4, maximum: 5 })
    const env = { memory, now: () => 0 }
    expect(() => new WebAssembly.Instance(new WebAssembly.Module(buildInterpreter(4)), { env })).toThrow()
  })

  it('serves two vCPU blocks in one memory', () => {
    const m = new TestMachine()
    // The second block takes the place of unused guest RAM.
    const block = Math.ceil(m.host(RAM + 0x40000) / 65536) * 65536
    const other = new Engine(m.memory, hpa(block), () => 0)
    m.u32[(block + Vcpu.HGATP_ROOT) / 4] = m.get32('HGATP_ROOT')
    m.u32[(block + Vcpu.PRIV) / 4] = 1
    m.u64[(block + Vcpu.PC) / 8] = BigInt(RAM)
    m.load('addi a0, a0, 1\necall')
    expect(m.engine.run()).toBe(Exit.VS_ECALL)
    expect(other.run()).toBe(Exit.VS_ECALL)
    expect(m.x(10)).toBe(1n)
    expect(m.u64[block / 8 + 10]).toBe(1n)
  })
})

describe('polls', () => {
  it('a short loop that reads the clock every round sees POLL all the same', () => {
    const m = new TestMachine()
    let looks = 0
    m.clock = () => {
      if (++looks > 100_000) throw new Error('POLL was not seen')
      if (looks > 10) m.set32('POLL', 1)
      return 0
    }
    m.load('li t0, 4000000\nagain:\ncsrr a0, time\naddi t0, t0, -1\nbnez t0, again\necall')
    expect(m.engine.run()).toBe(Exit.POLL)
  })
})

describe('any guest whatever', () => {
  it('leaves host memory outside its pages alone, and always answers a poll', async () => {
    const m = new TestMachine()
    // Another thread kicks, as the timer worker does: a random guest may loop with interrupts off.
    const kicker = new Worker(
      'const { workerData: { buffer, index } } = require("node:worker_threads");' +
        'setInterval(() => Atomics.store(new Int32Array(buffer), index, 1), 1)',
      { eval: true, workerData: { buffer: m.memory.buffer, index: m.fieldAddress('POLL') / 4 } },
    )
    try {
      await once(kicker, 'online')
      const word = fc.integer({ min: 0, max: 2 ** 32 - 1 })
      // Mostly instructions that exist: random words with the opcode and function bits of the table.
      const instruction = fc
        .tuple(fc.constantFrom(...isa), word)
        .map(([{ match, mask }, random]) => ((random & ~mask) | match) >>> 0)
      fc.assert(
        fc.property(
          fc.array(fc.oneof({ weight: 9, arbitrary: instruction }, word), { minLength: 64, maxLength: 64 }),
          (words) => {
            mapSv39(m, RWX | Pte.A | Pte.D)
            for (let register = 1; register < 32; register++)
              m.setX(
                register,
                register % 2 ? BigInt(RAM + register * 4096 - 4) : BigInt(words[register]) << 31n,
              )
            m.set('STVEC', BigInt(RAM + 64))
            m.set32('PRIV', 1)
            m.u32.set(words, m.host(RAM) / 4)
            // Buffers, because comparing them is fast.
            const outside = () =>
              Buffer.concat([
                m.u8.subarray(0, 0x10000),
                m.u8.subarray(HOST_TABLES, m.host(RAM)),
                m.u8.subarray(m.host(RAM_END)),
              ])
            const before = outside()
            for (let start = 0; start < 64; start += 16) {
              m.set('PC', BigInt(RAM + 4 * start))
              m.set32('POLL', 0)
              m.engine.run()
            }
            expect(outside().equals(before)).toBe(true)
          },
        ),
        { numRuns: 100 },
      )
    } finally {
      await kicker.terminate()
    }
  })
})
