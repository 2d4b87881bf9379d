// Copy-on-write disks against a plain array of bytes, and overlay files that were cut off anywhere.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES, MemoryOverlay, OverlayDisk } from './overlay.ts'
import { FileOverlay, OverlayMismatch } from './overlay-file.ts'
import { MemoryStorage } from './testing/memory-storage.ts'

/** An image that ends within a block and a sector. */
const IMAGE = Uint8Array.from({ length: 5 * BLOCK_BYTES + 700 }, (_, i) => (i * 31) >> 3)
const IDENTITY = new Uint8Array(32).fill(7)

const open = (storage: MemoryStorage): OverlayDisk =>
  new OverlayDisk(IMAGE, new FileOverlay(storage, IMAGE.length, IDENTITY))

const writes = fc.array(
  fc.record({
    offset: fc.nat(IMAGE.length),
    bytes: fc.uint8Array({ maxLength: 2 * BLOCK_BYTES }),
    reopen: fc.boolean(),
  }),
  { maxLength: 12 },
)

const whole = (disk: OverlayDisk): Uint8Array => {
  const bytes = new Uint8Array(disk.size)
  disk.read(0, bytes)
  return bytes
}

/** The first byte that differs; -1: none. */
const difference = (a: Uint8Array, b: Uint8Array): number => a.findIndex((byte, i) => byte !== b[i])

describe('OverlayDisk', () => {
  it('shows the image, with zeroes to a whole sector', () => {
    const disk = new OverlayDisk(IMAGE, new MemoryOverlay())
    expect(disk.size).toBe(5 * BLOCK_BYTES + 1024)
    expect(difference(IMAGE, whole(disk))).toBe(-1)
    expect(
      whole(disk)
        .subarray(IMAGE.length)
        .every((byte) => byte === 0),
    ).toBe(true)
  })

  it('D10 is a disk, in memory and in a file that is opened again at any time, and leaves the image alone', () => {
    const image = IMAGE.slice()
    fc.assert(
      fc.property(writes, (steps) => {
        const storage = new MemoryStorage()
        const memory = new OverlayDisk(IMAGE, new MemoryOverlay())
        let file = open(storage)
        const model = new Uint8Array(memory.size)
        model.set(IMAGE)
        for (const { offset, bytes, reopen } of steps) {
          const fits = bytes.subarray(0, memory.size - offset)
          memory.write(offset, fits)
          file.write(offset, fits)
          model.set(fits, offset)
          if (reopen) file = open(storage)
        }
        expect([difference(model, whole(memory)), difference(model, whole(file))]).toEqual([-1, -1])
      }),
    )
    expect(difference(image, IMAGE)).toBe(-1)
  })
})

describe('an overlay file', () => {
  it('begins anew in its second group of blocks', () => {
    const image = new Uint8Array(1100 * BLOCK_BYTES)
    const storage = new MemoryStorage()
    const disk = new OverlayDisk(image, new FileOverlay(storage, image.length, IDENTITY))
    for (let block = 1099; block >= 0; block--)
      disk.write(block * BLOCK_BYTES, Uint8Array.of(block & 0xff, 1))
    const again = new OverlayDisk(image, new FileOverlay(storage, image.length, IDENTITY))
    const two = new Uint8Array(2)
    const wrong = Array.from({ length: 1100 }, (_, block) => block).filter((block) => {
      again.read(block * BLOCK_BYTES, two)
      return two[0] !== (block & 0xff) || two[1] !== 1
    })
    expect(wrong).toEqual([])
  })

  it('belongs to one image', () => {
    const storage = new MemoryStorage()
    open(storage)
    expect(() => new FileOverlay(storage, IMAGE.length, new Uint8Array(32))).toThrow(OverlayMismatch)
    expect(() => new FileOverlay(storage, IMAGE.length + 1, IDENTITY)).toThrow(OverlayMismatch)
    const other = new MemoryStorage()
    other.write(0, new Uint8Array(10_000).fill(0x55))
    expect(() => open(other)).toThrow(OverlayMismatch)
  })

  it('D10 cut off anywhere, has each block as it was before or after a write that was not flushed', () => {
    const old = new Uint8Array(BLOCK_BYTES).fill(1)
    const fresh = new Uint8Array(BLOCK_BYTES).fill(2)
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4]), fc.nat(12), (blocks, survived) => {
        const storage = new MemoryStorage()
        const disk = open(storage)
        for (const block of blocks.slice(2)) disk.write(block * BLOCK_BYTES, old)
        disk.flush()
        const flushed = storage.writes.length
        for (const block of blocks) disk.write(block * BLOCK_BYTES, fresh)
        const after = open(storage.replay(flushed + survived))
        for (const block of [0, 1, 2, 3, 4]) {
          const bytes = new Uint8Array(BLOCK_BYTES)
          after.read(block * BLOCK_BYTES, bytes)
          const before = blocks.slice(2).includes(block)
            ? old
            : IMAGE.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
          const can = blocks.includes(block) ? [before, fresh] : [before]
          expect(can.some((bytesThen) => difference(bytes, bytesThen) === -1)).toBe(true)
        }
      }),
    )
  })

  it('does not take for blocks what a crash left in its index', () => {
    const storage = new MemoryStorage()
    open(storage).write(0, new Uint8Array(BLOCK_BYTES).fill(1))
    // Entries that reached the disk before their blocks did.
    storage.write(BLOCK_BYTES + 4, Uint8Array.of(3, 0, 0, 0, 4, 0, 0, 0))
    const disk = open(storage)
    disk.write(4 * BLOCK_BYTES, new Uint8Array(BLOCK_BYTES).fill(5))
    disk.write(0, new Uint8Array(BLOCK_BYTES).fill(6))
    const again = whole(open(storage))
    expect(difference(IMAGE.subarray(BLOCK_BYTES, 4 * BLOCK_BYTES), again.subarray(BLOCK_BYTES))).toBe(-1)
    expect([again[0], again[4 * BLOCK_BYTES]]).toEqual([6, 5])
  })
})
