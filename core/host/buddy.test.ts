import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Pfn } from '../base/units.ts'
import { BuddyAllocator, MAX_ORDER } from './buddy.ts'
import { PageType } from './folio-table.ts'
import { FREE_POISON, HostMemory } from './host-memory.ts'

const memory = HostMemory.create(64 * 2 ** 20)

test('F1 blocks never overlap, are aligned, and merge back completely', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ order: fc.nat(MAX_ORDER), drop: fc.nat() }), { maxLength: 300 }),
      (steps) => {
        const buddy = new BuddyAllocator(memory, false)
        const fresh = buddy.freeBlocks()
        const owned = new Set<number>()
        const blocks: { pfn: number; order: number }[] = []
        const give = (at: number): void => {
          const [block] = blocks.splice(at, 1)
          for (let i = 0; i < 2 ** block.order; i++) owned.delete(block.pfn + i)
          buddy.free(block.pfn as Pfn, block.order)
        }
        for (const { order, drop } of steps) {
          if (drop % 3 === 0 && blocks.length > 0) give(drop % blocks.length)
          const pfn = buddy.tryAlloc(order, PageType.kernel, 7, 0)
          if (pfn < 0) continue
          expect(pfn % 2 ** order).toBe(0)
          expect(pfn).toBeGreaterThanOrEqual(memory.layout.firstFrame)
          for (let i = 0; i < 2 ** order; i++) {
            expect(owned.has(pfn + i)).toBe(false)
            owned.add(pfn + i)
          }
          expect(pfn + 2 ** order).toBeLessThanOrEqual(memory.layout.frames)
          blocks.push({ pfn, order })
        }
        expect(buddy.freeFrames).toBe(memory.layout.frames - memory.layout.firstFrame - owned.size)
        while (blocks.length > 0) give(0)
        expect(buddy.freeBlocks()).toEqual(fresh)
      },
    ),
    { numRuns: 60 },
  )
})

test('an empty allocator says ENOMEM, and a put frame can be taken again', () => {
  const buddy = new BuddyAllocator(memory, false)
  const frames: Pfn[] = []
  for (
    let pfn = buddy.tryAlloc(0, PageType.anon, 1, 0);
    pfn >= 0;
    pfn = buddy.tryAlloc(0, PageType.anon, 1, 0)
  )
    frames.push(pfn as Pfn)
  expect(buddy.freeFrames).toBe(0)
  expect(() => buddy.alloc(0, PageType.anon, 1, 0)).toThrow('ENOMEM')
  buddy.get(frames[0])
  buddy.put(frames[0])
  expect(buddy.freeFrames).toBe(0)
  buddy.put(frames[0])
  expect(buddy.alloc(0, PageType.anon, 1, 0)).toBe(frames[0])
})

test('a freed frame is poisoned when asked', () => {
  const buddy = new BuddyAllocator(memory, true)
  const pfn = buddy.alloc(0, PageType.anon, 1, 0)
  memory.zeroFrame(pfn)
  buddy.put(pfn)
  expect(memory.frame(pfn).every((byte) => byte === FREE_POISON)).toBe(true)
})
