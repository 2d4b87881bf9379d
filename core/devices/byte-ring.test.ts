// The byte ring against a plain array: nothing lost, nothing reordered, full and empty told apart.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteRing, byteRingSize } from './byte-ring.ts'

const make = (capacity: number, written = 0): ByteRing => {
  const buffer = new SharedArrayBuffer(byteRingSize(capacity))
  const words = new Int32Array(buffer)
  words[0] = written
  words[16] = written
  return new ByteRing(buffer, 0, capacity)
}

describe('ByteRing', () => {
  it('behaves as a queue of bounded length, also where its counters wrap', () => {
    const operation = fc.oneof(
      fc.record({ op: fc.constant('push' as const), bytes: fc.uint8Array({ maxLength: 20 }) }),
      fc.record({ op: fc.constant('drain' as const), max: fc.nat(20) }),
      fc.record({ op: fc.constant('pop' as const) }),
      fc.record({ op: fc.constant('discard' as const), max: fc.nat(5) }),
      fc.record({ op: fc.constant('one' as const), byte: fc.nat(255) }),
    )
    fc.assert(
      fc.property(fc.array(operation), fc.constantFrom(0, 0x7ffffff0, -5), (operations, written) => {
        const ring = make(16, written)
        const model: number[] = []
        for (const step of operations) {
          if (step.op === 'push') {
            const taken = Math.min(step.bytes.length, 16 - model.length)
            expect(ring.pushAll(step.bytes)).toBe(taken)
            model.push(...step.bytes.subarray(0, taken))
          } else if (step.op === 'one') {
            const fits = model.length < 16
            expect(ring.push(step.byte)).toBe(fits)
            if (fits) model.push(step.byte)
          } else if (step.op === 'drain') expect([...ring.drain(step.max)]).toEqual(model.splice(0, step.max))
          else if (step.op === 'discard') {
            ring.discard(step.max)
            model.splice(0, step.max)
          } else expect(ring.pop()).toBe(model.shift() ?? -1)
          expect(ring.length).toBe(model.length)
          expect(ring.free).toBe(16 - model.length)
        }
      }),
    )
  })

  it('gives bytes out of shared memory', () => {
    const ring = make(16)
    ring.pushAll(Uint8Array.of(104, 105))
    expect(ring.drain(8).buffer).toBeInstanceOf(ArrayBuffer)
  })

  it('refuses a capacity that is not a power of two', () => {
    expect(() => make(24)).toThrow(RangeError)
  })
})
