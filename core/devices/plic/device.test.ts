// The interrupt controller: the specification's flow, one step at a time and from several threads.
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { bundleWorker, finished } from '../testing/bundle-worker.ts'
import { CLAIMS_WORD } from '../testing/claims.ts'
import { Plic } from './device.ts'
import { PLIC_SHARED_SIZE, PlicReg } from './registers.ts'

const priority = (source: number): number => 4 * source
const enable = (context: number): number => PlicReg.ENABLE + context * PlicReg.ENABLE_STRIDE
const threshold = (context: number): number => PlicReg.THRESHOLD + context * PlicReg.CONTEXT_STRIDE
const claim = (context: number): number => threshold(context) + PlicReg.CLAIM

let external: boolean[]
let plic: Plic

beforeEach(() => {
  external = [false, false]
  plic = new Plic(new SharedArrayBuffer(PLIC_SHARED_SIZE), 0, 2, (hart, level) => {
    expect(external[hart]).not.toBe(level)
    external[hart] = level
  })
})

describe('one source', () => {
  beforeEach(() => {
    plic.write32(priority(10), 1)
    plic.write32(enable(0), 1 << 10)
  })

  it('goes level, pending, external, claim, complete', () => {
    plic.setLevel(10, true)
    expect([plic.read32(PlicReg.PENDING), external]).toEqual([1 << 10, [true, false]])
    expect(plic.read32(claim(0))).toBe(10)
    expect([plic.read32(PlicReg.PENDING), external, plic.read32(claim(0))]).toEqual([0, [false, false], 0])
    plic.setLevel(10, false)
    plic.write32(claim(0), 10)
    expect([plic.read32(PlicReg.PENDING), external]).toEqual([0, [false, false]])
  })

  it('is forwarded again on completion while the line is still high', () => {
    plic.setLevel(10, true)
    plic.read32(claim(0))
    plic.setLevel(10, false)
    plic.setLevel(10, true)
    expect(external[0]).toBe(false)
    plic.write32(claim(0), 10)
    expect([external[0], plic.read32(claim(0))]).toEqual([true, 10])
  })

  it('stays pending when the line falls after the gateway forwarded it', () => {
    plic.setLevel(10, true)
    plic.setLevel(10, false)
    expect([external[0], plic.read32(claim(0))]).toEqual([true, 10])
  })

  it('is masked by threshold, enable and priority 0', () => {
    plic.setLevel(10, true)
    plic.write32(threshold(0), 1)
    expect(external[0]).toBe(false)
    plic.write32(threshold(0), 0)
    expect(external[0]).toBe(true)
    plic.write32(enable(0), 0)
    expect(external[0]).toBe(false)
    plic.write32(enable(0), 1 << 10)
    plic.write32(priority(10), 0)
    expect([external[0], plic.read32(claim(0))]).toEqual([false, 0])
  })

  it('can be claimed below the threshold, as the specification says', () => {
    plic.setLevel(10, true)
    plic.write32(threshold(0), 7)
    expect([external[0], plic.read32(claim(0))]).toEqual([false, 10])
  })

  it('ignores completion of a source the context has not enabled', () => {
    plic.setLevel(10, true)
    plic.read32(claim(0))
    plic.write32(claim(1), 10)
    expect(external[0]).toBe(false)
  })
})

it('claims by priority, then by lower number', () => {
  for (const [source, level] of [
    [3, 2],
    [7, 5],
    [9, 5],
    [31, 1],
  ]) {
    plic.write32(priority(source), level)
    plic.setLevel(source, true)
  }
  plic.write32(enable(0), -1)
  const order = []
  for (let source = plic.read32(claim(0)); source !== 0; source = plic.read32(claim(0))) order.push(source)
  expect(order).toEqual([7, 9, 3, 31])
})

it('gives a source that both harts enabled to one of them', () => {
  plic.write32(priority(4), 1)
  plic.write32(enable(0), 1 << 4)
  plic.write32(enable(1), 1 << 4)
  plic.setLevel(4, true)
  expect(external).toEqual([true, true])
  expect(plic.read32(claim(1))).toBe(4)
  expect([external, plic.read32(claim(0))]).toEqual([[false, false], 0])
})

it('has no source 0, and 0 in reserved places', () => {
  plic.write32(0, 7)
  plic.write32(enable(0), 1)
  plic.write32(PlicReg.PENDING, -1)
  expect(
    [0, enable(0), enable(0) + 4, enable(2), PlicReg.PENDING, 0x80, threshold(2)].map((o) => plic.read32(o)),
  ).toEqual([0, 0, 0, 0, 0, 0, 0])
  expect(() => plic.setLevel(0, true)).toThrow(RangeError)
  expect(() => plic.setLevel(32, true)).toThrow(RangeError)
})

it('drives each output by what is pending, enabled and above the threshold, after any sequence', () => {
  const source = fc.integer({ min: 1, max: 31 })
  const operation = fc.oneof(
    fc.record({ op: fc.constant('level' as const), source, value: fc.nat(1) }),
    fc.record({ op: fc.constant('priority' as const), source, value: fc.nat(7) }),
    fc.record({ op: fc.constant('enable' as const), source: fc.nat(1), value: fc.integer() }),
    fc.record({ op: fc.constant('threshold' as const), source: fc.nat(1), value: fc.nat(7) }),
    fc.record({ op: fc.constant('claim' as const), source: fc.nat(1), value: fc.constant(0) }),
    fc.record({ op: fc.constant('complete' as const), source: fc.nat(1), value: source }),
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
      plic.reset()
      expect(external).toEqual([false, false])
      for (const step of operations) {
        if (step.op === 'level') plic.setLevel(step.source, step.value === 1)
        else if (step.op === 'priority') plic.write32(priority(step.source), step.value)
        else if (step.op === 'enable') plic.write32(enable(step.source), step.value)
        else if (step.op === 'threshold') plic.write32(threshold(step.source), step.value)
        else if (step.op === 'claim') plic.read32(claim(step.source))
        else plic.write32(claim(step.source), step.value)
        for (const hart of [0, 1]) {
          const candidates = plic.read32(PlicReg.PENDING) & plic.read32(enable(hart))
          let expected = false
          for (let s = 1; s < 32; s++)
            if ((candidates >>> s) & 1 && plic.read32(priority(s)) > plic.read32(threshold(hart)))
              expected = true
          expect(external[hart]).toBe(expected)
        }
      }
    }),
  )
})

it('never gives one source to two threads at once, and leaves none in service', async () => {
  const start = await bundleWorker(new URL('../testing/hammer.ts', import.meta.url))
  const buffer = new SharedArrayBuffer(8192)
  const shared = new Plic(buffer, 0, 1, () => {})
  for (const source of [5, 6, 7]) shared.write32(priority(source), 1)
  shared.write32(enable(0), 0b111 << 5)
  const rounds = 20_000
  await Promise.all(
    [5, 6, 7].map((source) => finished(start({ kind: 'interrupts', buffer, source, rounds }))),
  )
  const words = new Int32Array(buffer)
  expect(shared.read32(PlicReg.PENDING)).toBe(0)
  for (const source of [5, 6, 7]) {
    expect(words[CLAIMS_WORD + source]).toBeGreaterThan(0)
    // Not stuck in service: a new request still gets through.
    shared.setLevel(source, true)
    expect(shared.read32(claim(0))).toBe(source)
  }
})
