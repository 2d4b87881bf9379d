// Every device against drivers that write anything into their queues: work ends, and the device works or has stopped.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ByteRing, byteRingSize } from '../byte-ring.ts'
import { VirtioBalloon } from '../virtio-balloon/device.ts'
import { VirtioBlk } from '../virtio-blk/device.ts'
import { MemoryOverlay, OverlayDisk } from '../virtio-blk/overlay.ts'
import { VirtioConsole } from '../virtio-console/device.ts'
import { VirtioRng } from '../virtio-rng/device.ts'
import type { VirtioDevice } from './device.ts'
import { GuestMemoryFault } from './device-memory.ts'
import { DescFlag, VirtioStatus } from './registers.ts'
import { TestDriver } from './testing/driver.ts'
import { RAM, RAM_BYTES } from './testing/guest-ram.ts'

const SIZE = 8
const QUEUES = 0x4000

const devices: Record<string, () => VirtioDevice> = {
  rng: () => new VirtioRng((count) => new Uint8Array(count).fill(0xee)),
  blk: () => new VirtioBlk(new OverlayDisk(new Uint8Array(32 * 512), new MemoryOverlay()), () => {}),
  balloon: () =>
    new VirtioBalloon(function* (gpa, size) {
      yield { at: 'test/reclaim' }
      if (gpa < RAM || gpa + size > RAM + RAM_BYTES) throw new GuestMemoryFault(gpa, 'outside', 'EFAULT')
    }),
  console: () => new VirtioConsole(new ByteRing(new SharedArrayBuffer(byteRingSize(1024)), 0, 1024)),
}

const descriptor = fc.record({
  // Mostly past the queues, where data would lie; sometimes in them, or nowhere.
  gpa: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: QUEUES / 16, max: RAM_BYTES / 16 }).map((n) => RAM + 16 * n) },
    fc.integer({ min: 0, max: QUEUES / 16 }).map((n) => RAM + 16 * n),
    fc.bigInt(0n, 2n ** 64n - 1n).map(Number),
  ),
  length: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0, 1, 4, 16, 512, 4096) }, fc.nat(0xffffffff)),
  flags: fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(0, DescFlag.NEXT, DescFlag.WRITE, DescFlag.NEXT | DescFlag.WRITE),
    },
    fc.nat(7),
  ),
  next: fc.oneof({ weight: 4, arbitrary: fc.nat(SIZE - 1) }, fc.nat(0xffff)),
})

const attack = fc.record({
  queue: fc.nat(2),
  table: fc.array(descriptor, { minLength: SIZE, maxLength: SIZE }),
  ring: fc.array(fc.oneof({ weight: 6, arbitrary: fc.nat(SIZE - 1) }, fc.nat(0xffff)), {
    minLength: SIZE,
    maxLength: SIZE,
  }),
  index: fc.oneof({ weight: 6, arbitrary: fc.nat(SIZE) }, fc.nat(0xffff)),
  /** What data the device may find: a request's header, page numbers. */
  data: fc.uint8Array({ minLength: 64, maxLength: 64 }),
  hidden: fc.option(fc.nat(RAM_BYTES / 4096 - 1)),
})

it.each(Object.keys(devices))('D5 %s', (name) => {
  const driver = new TestDriver(devices[name]())
  fc.assert(
    fc.property(fc.array(attack, { minLength: 1, maxLength: 4 }), (attacks) => {
      driver.stops.length = 0
      driver.start(SIZE)
      for (const { queue: wanted, table, ring, index, data, hidden } of attacks) {
        const number = wanted % driver.device.queueSizes.length
        const queue = driver.queues[number]
        for (let at = QUEUES; at < RAM_BYTES; at += 4096) driver.ram.bytes.set(data, at)
        for (const [i, { gpa, length, flags, next }] of table.entries())
          queue.describe(i, gpa, length, flags, next)
        const { view } = driver.ram
        for (const [i, head] of ring.entries()) view.setUint16(queue.available - RAM + 4 + 2 * i, head, true)
        view.setUint16(queue.available - RAM + 2, index, true)
        driver.ram.private.clear()
        if (hidden !== null) driver.ram.private.add(RAM + 4096 * hidden)
        driver.ram.accesses = 0
        driver.kick(number)
        const stopped = (driver.status & VirtioStatus.NEEDS_RESET) !== 0
        expect(stopped).toBe(driver.stops.length > 0)
        // Of a chain: its descriptors, and its buffers' bytes in pieces; none of it depends on what lengths say.
        expect(driver.ram.accesses).toBeLessThan(SIZE * 200)
        if (stopped) {
          driver.stops.length = 0
          driver.ram.private.clear()
          driver.start(SIZE)
          expect(driver.status & VirtioStatus.NEEDS_RESET).toBe(0)
        }
      }
    }),
    { numRuns: 150 },
  )
})
