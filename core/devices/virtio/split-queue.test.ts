// Virtqueues: requests come and go in order, and whatever a driver writes into its rings, work ends and stays in RAM.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KernelTask } from '../../host/kernel-task.ts'
import { DriverFault } from './device-memory.ts'
import { DescFlag } from './registers.ts'
import { SplitQueue } from './split-queue.ts'
import { DriverQueue } from './testing/driver.ts'
import { GuestRam, RAM, RAM_BYTES } from './testing/guest-ram.ts'

const run = <T>(task: KernelTask<T>): T => {
  for (;;) {
    const step = task.next()
    if (step.done) return step.value
  }
}

const SIZE = 8

const make = () => {
  const ram = new GuestRam()
  const driver = new DriverQueue(ram, RAM, SIZE)
  const queue = new SplitQueue(ram, 64)
  queue.size = SIZE
  Object.assign(queue.addresses, {
    descriptors: driver.descriptors,
    available: driver.available,
    used: driver.used,
  })
  queue.enabled = true
  return { ram, driver, queue }
}

const DATA = RAM + 0x4000

describe('SplitQueue', () => {
  it('gives requests in order, as bytes to read and bytes to write however they are cut', () => {
    const { ram, driver, queue } = make()
    ram.bytes.set([1, 2, 3, 4, 5], 0x4000)
    const buffers = [
      { gpa: DATA, length: 2 },
      { gpa: DATA + 2, length: 0 },
      { gpa: DATA + 2, length: 3 },
      { gpa: DATA + 0x100, length: 1, write: true },
      { gpa: DATA + 0x200, length: 4, write: true },
    ]
    const head = driver.add(buffers)
    driver.add([{ gpa: DATA, length: 1 }])
    expect(run(queue.waiting())).toBe(2)
    const chain = run(queue.take())
    expect([chain.readableBytes, chain.writableBytes]).toEqual([5, 5])
    expect([...run(chain.read(3)), ...run(chain.read(9))]).toEqual([1, 2, 3, 4, 5])
    expect(run(chain.write(Uint8Array.of(7, 8, 9)))).toBe(3)
    run(queue.putBack(chain))
    expect([ram.bytes[0x4100], ...ram.bytes.subarray(0x4200, 0x4203)]).toEqual([7, 8, 9, 0])
    expect(driver.takeUsed()).toEqual([{ head, written: 3 }])
    expect(run(queue.waiting())).toBe(1)
  })

  it('goes round its rings, also where their indices wrap', () => {
    const { driver, queue } = make()
    for (let round = 0; round < 70_000; round++) {
      const head = driver.add([{ gpa: DATA, length: 1, write: true }])
      run(queue.waiting())
      const chain = run(queue.take())
      run(queue.putBack(chain))
      const [used, ...more] = driver.takeUsed()
      if (used.head !== head || more.length > 0) throw new Error(`round ${round}`)
    }
    expect(run(queue.waiting())).toBe(0)
  })

  it('interrupts for what was handed back, unless the driver wants none', () => {
    const { driver, queue } = make()
    const serve = (): boolean => {
      driver.add([{ gpa: DATA, length: 1 }])
      run(queue.waiting())
      run(queue.putBack(run(queue.take())))
      return run(queue.interrupts())
    }
    expect(run(queue.interrupts())).toBe(false)
    expect(serve()).toBe(true)
    expect(run(queue.interrupts())).toBe(false)
    driver.noInterrupt = true
    expect(serve()).toBe(false)
  })

  it.each([
    ['a loop', (d: DriverQueue) => d.describe(0, DATA, 1, DescFlag.NEXT, 0), /loop/],
    ['a foreign descriptor', (d: DriverQueue) => d.describe(0, DATA, 1, DescFlag.NEXT, SIZE), /descriptor 8/],
    ['an indirect one', (d: DriverQueue) => d.describe(0, DATA, 16, DescFlag.INDIRECT, 0), /indirect/],
    [
      'one to be read after one to be written',
      (d: DriverQueue) => {
        d.describe(0, DATA, 1, DescFlag.WRITE | DescFlag.NEXT, 1)
        d.describe(1, DATA, 1, 0, 0)
      },
      /after one to be written/,
    ],
    [
      'more than 4 GiB',
      (d: DriverQueue) => {
        d.describe(0, DATA, 0xffffffff, DescFlag.NEXT, 1)
        d.describe(1, DATA, 2, 0, 0)
      },
      /4294967297 bytes/,
    ],
  ])('refuses a chain with %s', (_what, spoil, message) => {
    const { driver, queue } = make()
    driver.add([{ gpa: DATA, length: 1 }])
    spoil(driver)
    expect(() => run(queue.take())).toThrow(message)
  })

  it('refuses more requests than it has room for, and rings that are not aligned', () => {
    const { ram, driver, queue } = make()
    ram.view.setUint16(driver.available - RAM + 2, SIZE + 1, true)
    expect(() => run(queue.waiting())).toThrow(/holds 9 requests/)
    queue.addresses.available++
    expect(() => run(queue.waiting())).toThrow(/misaligned/)
  })

  it('D5 ends and stays in RAM, whatever a driver writes', () => {
    const byte = { min: 0, max: RAM_BYTES / 16 }
    // Descriptors near the plausible, so that chains get long before they break.
    const descriptor = fc.record({
      gpa: fc.oneof(
        fc.integer(byte).map((n) => RAM + 16 * n),
        fc.bigInt(0n, 2n ** 64n - 1n).map(Number),
      ),
      length: fc.oneof(fc.nat(64), fc.integer({ min: 0, max: 0xffffffff })),
      flags: fc.oneof(fc.constant(DescFlag.NEXT), fc.nat(7)),
      next: fc.oneof(fc.nat(SIZE - 1), fc.nat(0xffff)),
    })
    const address = fc.oneof(
      fc.constant(0),
      fc.integer(byte).map((n) => RAM + 16 * n),
      fc.integer({ min: 0, max: 2 ** 53 - 1 }),
    )
    fc.assert(
      fc.property(
        fc.record({
          table: fc.array(descriptor, { minLength: SIZE, maxLength: SIZE }),
          ring: fc.array(fc.oneof(fc.nat(SIZE - 1), fc.nat(0xffff)), { minLength: SIZE, maxLength: SIZE }),
          index: fc.oneof(fc.nat(SIZE), fc.nat(0xffff)),
          where: fc.option(fc.record({ descriptors: address, available: address, used: address })),
          hidden: fc.option(fc.integer({ min: 0, max: 15 })),
        }),
        ({ table, ring, index, where, hidden }) => {
          const { ram, driver, queue } = make()
          for (const [i, { gpa, length, flags, next }] of table.entries())
            driver.describe(i, gpa, length, flags, next)
          const at = driver.available - RAM
          for (const [i, head] of ring.entries()) ram.view.setUint16(at + 4 + 2 * i, head, true)
          ram.view.setUint16(at + 2, index, true)
          if (where) Object.assign(queue.addresses, where)
          if (hidden !== null) ram.private.add(RAM + 4096 * hidden)
          const before = ram.bytes.slice()
          try {
            for (let left = run(queue.waiting()); left > 0; left--) {
              const chain = run(queue.take())
              run(chain.read(512))
              run(chain.write(new Uint8Array(512).fill(0xee)))
              run(queue.putBack(chain))
              run(queue.interrupts())
            }
          } catch (error) {
            // The one way out: the transport turns it into DEVICE_NEEDS_RESET.
            expect(error).toBeInstanceOf(DriverFault)
          }
          // A chain is SIZE descriptors at most, a kick SIZE chains.
          expect(ram.accesses).toBeLessThanOrEqual(1 + SIZE * (4 + 3 * SIZE))
          const changed = ram.bytes.findIndex((value, i) => i >> 12 === hidden && value !== before[i])
          expect(changed).toBe(-1)
        },
      ),
      { numRuns: 1000 },
    )
  })
})
