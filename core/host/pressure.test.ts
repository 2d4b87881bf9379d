import { expect, test } from 'vitest'
import { PageType } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import type { KernelTask } from './kernel-task.ts'
import { MemoryHog } from './pressure.ts'

const memory = HostMemory.create(64 * 2 ** 20)

const setUp = () => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task)
  return { host, run, hog: new MemoryHog(host) }
}

test('N8 the hog leaves as many frames free as asked, more or fewer, and gives all back', () => {
  const { host, run, hog } = setUp()
  const all = host.buddy.freeFrames
  for (const frames of [1000, 0, 2500, 7]) {
    run(hog.keepFree(frames))
    expect(host.buddy.freeFrames).toBe(frames)
    expect(hog.report()).toMatchObject({ freeFrames: frames, totalFrames: all, hogFrames: all - frames })
  }
  run(hog.keepFree(null))
  expect([host.buddy.freeFrames, hog.report().hogFrames, hog.report().kinds]).toEqual([all, 0, []])
})

test('N8 what reclaim could take, and why not the rest', () => {
  const { host, run, hog } = setUp()
  host.buddy.alloc(0, PageType.pgtable, 0, 0)
  const listed = host.buddy.alloc(0, PageType.gmem, 0, 0)
  host.lru.mapping[listed] = { unevictable: true, inaccessible: true, migrateFolio: () => 'EINVAL' }
  host.lru.add(listed)
  run(host.lru.drainAll())
  host.buddy.alloc(0, PageType.gmem, 0, 1)
  const removed = host.buddy.alloc(0, PageType.gmem, 0, 2)
  host.lru.add(removed)
  host.buddy.put(removed)
  run(hog.keepFree(host.buddy.freeFrames - 3))
  // Reclaim came by.
  expect(host.lru.references(listed)).toBe(1)
  expect(hog.report().kinds).toEqual([
    { kind: 'page tables', frames: 1, reclaimable: 0, why: 'on no LRU list: reclaim does not see it' },
    {
      kind: 'guest_memfd',
      frames: 3,
      reclaimable: 1,
      why: 'unevictable: reclaim does not scan that list; on no LRU list: reclaim does not see it',
    },
    { kind: 'anonymous memory', frames: 3, reclaimable: 0, why: 'no swap device to write it to' },
  ])
})
