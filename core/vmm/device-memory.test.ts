// What the VMM's devices reach of a real guest's memory, and the errors that the VMM really gets.

import { describe, expect, it, test } from 'vitest'
import { RAM_BASE } from '../devices/memory-map.ts'
import { GuestMemoryFault } from '../devices/virtio/device-memory.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import type { LinuxVersion } from '../kvm/behaviours.ts'
import { VmmDeviceMemory } from './device-memory.ts'
import { FREE, RAM_BYTES, TestVmm } from './testing/test-vmm.ts'

const PAGE = 4096

const make = (version: LinuxVersion, isPrivate: boolean) => {
  const test = new TestVmm(version, isPrivate)
  return { test, memory: new VmmDeviceMemory(test.vmm) }
}

const fault = (call: () => unknown): Partial<GuestMemoryFault> => {
  try {
    call()
  } catch (error) {
    if (error instanceof GuestMemoryFault) return { gpa: error.gpa, why: error.why, error: error.error }
    throw error
  }
  throw new Error('it succeeded')
}

describe.each(['6.8', '7.2', 'next-in-place'] as const)('on Linux %s', (version) => {
  it('what a device writes into shared memory it reads again, across pages, and words too', () => {
    const { test, memory } = make(version, false)
    const bytes = Uint8Array.from({ length: 2 * PAGE }, (_, i) => i * 7)
    test.run(memory.write(FREE + 100, bytes))
    expect(test.run(memory.read(FREE + 100, bytes.length))).toEqual(bytes)
    test.run(memory.write16(FREE + PAGE - 2, 0xabcd))
    expect(test.run(memory.read16(FREE + PAGE - 2))).toBe(0xabcd)
    expect([...test.run(memory.read(FREE + PAGE - 2, 2))]).toEqual([0xcd, 0xab])
    expect(test.violations()).toEqual([])
  })

  it('what is not RAM is out of reach, whatever the numbers', () => {
    const { test, memory } = make(version, false)
    const end = RAM_BASE + RAM_BYTES
    for (const [gpa, length] of [
      [0, 1],
      [RAM_BASE - 1, 2],
      [end - 1, 2],
      [end, 1],
      [2 ** 63, 16],
      [RAM_BASE, 2 ** 32],
    ])
      expect(fault(() => test.run(memory.read(gpa, length)))).toMatchObject({ gpa, why: 'outside' })
    expect(fault(() => test.run(memory.write16(end, 1)))).toMatchObject({ why: 'outside' })
  })
})

test.each([
  ['7.2', 'ENODEV'],
  ['next-in-place', 'SIGBUS BUS_ADRERR'],
] as const)('a private page is out of reach on Linux %s: %s; once shared it is not', (version, error) => {
  const { test, memory } = make(version, true)
  expect(test.run(test.vmm.convert(0, FREE, PAGE, false)).result).toBe(0)
  const private_ = { gpa: FREE + PAGE, why: 'private', error }
  expect(fault(() => test.run(memory.read(FREE + PAGE, 16)))).toEqual(private_)
  expect(fault(() => test.run(memory.write16(FREE + PAGE, 1)))).toEqual(private_)
  // The page that can be reached is written; the fault names the one that cannot.
  expect(fault(() => test.run(memory.write(FREE + PAGE - 4, new Uint8Array(8).fill(9))))).toEqual(private_)
  expect([...test.run(memory.read(FREE + PAGE - 4, 4))]).toEqual([9, 9, 9, 9])
  expect(test.run(test.vmm.convert(0, FREE + PAGE, PAGE, false)).result).toBe(0)
  expect(test.run(memory.read(FREE + PAGE, 4))).toEqual(new Uint8Array(4))
  expect(test.violations()).toEqual([])
})

test('a page with a memory error is out of reach, and says so', () => {
  const { test, memory } = make('7.2', false)
  test.run(memory.write16(FREE, 1))
  const pfn = test.vmm.process.mappedFrame(test.vmm.memory.hvaOf(FREE))?.pfn
  if (pfn === undefined) throw new Error('the page has no frame')
  test.run(memoryFailure(test.host, pfn))
  expect(fault(() => test.run(memory.read16(FREE)))).toEqual({
    gpa: FREE,
    why: 'poisoned',
    error: 'SIGBUS BUS_MCEERR_AR',
  })
})

describe('D9 memory that is given back', () => {
  it.each([
    ['6.8', false],
    ['7.2', false],
    ['7.2', true],
    ['next-in-place', true],
  ] as const)(
    'leaves its frames to the host and reads as zeroes, on Linux %s, private: %s',
    (version, isPrivate) => {
      const { test, memory } = make(version, isPrivate)
      if (isPrivate) test.run(test.vmm.convert(0, FREE, 4 * PAGE, false))
      test.run(memory.write(FREE, new Uint8Array(4 * PAGE).fill(1)))
      const free = test.host.buddy.freeFrames
      expect(test.run(test.vmm.memory.reclaim(FREE, 3 * PAGE))).toBe(0)
      expect(test.host.buddy.freeFrames).toBe(free + 3)
      expect(test.run(memory.read(FREE, 2))).toEqual(new Uint8Array(2))
      expect(test.run(memory.read(FREE + 3 * PAGE, 1))[0]).toBe(1)
      expect(test.violations()).toEqual([])
    },
  )

  it('may be private', () => {
    const { test } = make('7.2', true)
    const used = (): number => test.host.buddy.freeFrames
    const before = used()
    // The guest's image, three pages and sixteen bytes of it.
    expect(test.run(test.vmm.memory.reclaim(RAM_BASE, 4 * PAGE))).toBe(0)
    expect(used()).toBe(before + 4)
    expect(test.violations()).toEqual([])
  })
})
