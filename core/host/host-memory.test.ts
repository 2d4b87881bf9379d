import { expect, test } from 'vitest'
import { HostMemory, HostMemoryRefused } from './host-memory.ts'
import { Header } from './layout.ts'

const MIB = 2 ** 20

test('another thread attaches to the same layout', () => {
  const memory = HostMemory.create(64 * MIB)
  const other = HostMemory.attach(memory.memory)
  expect(other.layout).toEqual(memory.layout)
  memory.u8[memory.layout.firstFrame * 4096] = 9
  expect(other.u8[memory.layout.firstFrame * 4096]).toBe(9)
})

test('attach refuses a memory that is none, or of another version', () => {
  const plain = new WebAssembly.Memory({ shared: true, initial: 256, maximum: 256 })
  expect(() => HostMemory.attach(plain)).toThrow('magic')
  const memory = HostMemory.create(64 * MIB)
  memory.i32[Header.VERSION] = 99
  expect(() => HostMemory.attach(memory.memory)).toThrow('version 99')
})

test('a refusal names the size and proposes a smaller one', () => {
  try {
    HostMemory.create(8 * 2 ** 30)
    throw new Error('8 GiB were granted')
  } catch (error) {
    expect(error).toBeInstanceOf(HostMemoryRefused)
    expect(error).toMatchObject({ bytes: 8 * 2 ** 30, proposal: 4 * 2 ** 30 })
    expect((error as Error).message).toContain('8192 MiB')
  }
})

test('page-table entries above 2^32 survive a store and a load', () => {
  const memory = HostMemory.create(64 * MIB)
  const at = memory.layout.firstFrame * 4096 + 8
  for (const entry of [0, 1, 0x8000_0001, 0xfffff * 1024 + 0xdf, 2 ** 53 + 2]) {
    memory.storeEntry(at, entry)
    expect(memory.loadEntry(at)).toBe(entry)
  }
})

test('a frame above 2 GiB is where its number says', () => {
  const memory = HostMemory.create(2 ** 31 + 64 * MIB)
  const pfn = 2 ** 19 + 1
  memory.frame(pfn as never)[5] = 77
  expect(memory.u8[2 ** 31 + 4096 + 5]).toBe(77)
  memory.zeroFrame(pfn as never)
  expect(memory.u8[2 ** 31 + 4096 + 5]).toBe(0)
})
