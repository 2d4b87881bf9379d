import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { MAX_ORDER } from './buddy.ts'
import { PageType } from './folio-table.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { Mpol, MpolGet, MpolMode, MpolMove } from './mempolicy.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'

const PAGE = 4096
const SHARED = 1
const memory = HostMemory.create(64 * 2 ** 20)

/** A mask of nodes as the process has it in memory. */
const mask = (...nodes: number[]): Uint8Array => {
  const bytes = new Uint8Array(256)
  for (const node of nodes) bytes[node >> 3] |= 1 << (node & 7)
  return bytes
}

const setUp = (nodes: 1 | 2 = 2) => {
  memory.reset()
  const host = new Host(memory, { poison: true, nodes })
  const run = host.scheduler.runSync.bind(host.scheduler)
  const calls = new Syscalls(new Process(host))
  const bind = (at: number, pages: number, mode: number, on: Uint8Array | 0, flags = 0) =>
    run(calls.mbind({ start: at, length: pages * PAGE, mode, nodes: on, maxNode: 65, flags }))
  /** Touches pages and returns the node of each. */
  const touch = (at: number, pages: number): number[] =>
    Array.from({ length: pages }, (_, page) => {
      run(calls.store(hva(at + page * PAGE), Uint8Array.of(1)))
      const frame = calls.process.mappedFrame(at + page * PAGE)
      return frame ? host.buddy.nodeOf(frame.pfn) : -1
    })
  const policyAt = (at: number) => run(calls.getMempolicy(64, at, MpolGet.ADDR))
  return { host, run, calls, bind, touch, policyAt }
}

test('two nodes have half of the memory each, divided where no 2 MiB block lies in both', () => {
  const { host } = setUp()
  const { buddy } = host
  expect(buddy.boundary % 2 ** MAX_ORDER).toBe(0)
  expect(Math.abs(buddy.freeFramesOf(0) - buddy.freeFramesOf(1))).toBeLessThanOrEqual(2 ** MAX_ORDER)
  expect(buddy.freeFramesOf(0) + buddy.freeFramesOf(1)).toBe(buddy.freeFrames)
  expect([buddy.nodeOf(buddy.boundary - 1), buddy.nodeOf(buddy.boundary)]).toEqual([0, 1])
})

test('a full node falls back on the other, unless the policy binds', () => {
  const { host, calls, run, bind, touch } = setUp()
  while (host.buddy.freeFramesOf(1) > 0) host.buddy.tryAlloc(0, PageType.kernel, 0, 0, 1)
  const at = run(calls.mmapAnonymous(4 * PAGE))
  expect(bind(at, 1, Mpol.PREFERRED, mask(1))).toBe(0)
  expect(bind(at + PAGE, 1, Mpol.PREFERRED_MANY, mask(1))).toBe(0)
  expect(bind(at + 2 * PAGE, 1, Mpol.BIND, mask(1))).toBe(0)
  expect(touch(at, 2)).toEqual([0, 0])
  expect(run(calls.store(hva(at + 2 * PAGE), Uint8Array.of(1)))).toMatchObject({ signal: 'SIGBUS' })
  while (host.buddy.freeFramesOf(0) > 0) host.buddy.alloc(0, PageType.kernel, 0, 0)
  expect(() => host.buddy.alloc(0, PageType.kernel, 0, 0)).toThrow('ENOMEM')
})

test('pages land where the policy of their mapping says', () => {
  const { run, calls, bind, touch } = setUp()
  const at = run(calls.mmapAnonymous(64 * PAGE))
  expect(touch(at, 2)).toEqual([0, 0])
  expect(bind(at + 2 * PAGE, 2, Mpol.BIND, mask(1))).toBe(0)
  expect(touch(at + 2 * PAGE, 3)).toEqual([1, 1, 0])
  expect(bind(at + 8 * PAGE, 4, Mpol.INTERLEAVE, mask(0, 1))).toBe(0)
  const interleaved = touch(at + 8 * PAGE, 4)
  const first = (at / PAGE + 8) % 2
  expect(interleaved).toEqual([first, 1 - first, first, 1 - first])
  expect(bind(at + 2 * PAGE, 2, Mpol.DEFAULT, 0)).toBe(0)
  // Where they are they stay; given up and touched again, they go by the new policy.
  expect(touch(at + 2 * PAGE, 2)).toEqual([1, 1])
  run(calls.madvise(at + 2 * PAGE, PAGE, 4))
  expect(touch(at + 2 * PAGE, 2)).toEqual([0, 1])
})

test("the task's policy counts where the mapping has none, and places pages by their addresses", () => {
  const { run, calls, bind, touch } = setUp()
  const at = run(calls.mmapAnonymous(16 * PAGE))
  expect(run(calls.setMempolicy(Mpol.INTERLEAVE, mask(0, 1), 65))).toBe(0)
  const first = (at / PAGE) % 2
  expect([touch(at + 5 * PAGE, 1), touch(at + 3 * PAGE, 1), touch(at, 1)].flat()).toEqual([
    1 - first,
    1 - first,
    first,
  ])
  bind(at + 8 * PAGE, 2, Mpol.BIND, mask(1))
  expect(touch(at + 8 * PAGE, 2)).toEqual([1, 1])
  // The turns are for memory without an address; a child goes on where its parent is.
  const { policy } = calls.process
  if (!policy) throw new Error('no policy')
  expect(run(calls.getMempolicy(null, 0, MpolGet.NODE))).toMatchObject({ policy: 0 })
  for (const [turn, next] of [
    [0, 1],
    [1, 0],
  ]) {
    expect(calls.process.nextInterleaveNode(policy)).toBe(turn)
    const child = run(calls.fork())
    expect(run(child.getMempolicy(null, 0, MpolGet.NODE))).toMatchObject({ policy: next })
  }
  const child = run(calls.fork())
  expect(run(child.getMempolicy(64, 0, 0))).toEqual({ policy: Mpol.INTERLEAVE, nodes: 3 })
  expect(run(calls.setMempolicy(Mpol.DEFAULT, 0, 0))).toBe(0)
  expect(run(calls.getMempolicy(64, 0, 0))).toEqual({ policy: Mpol.DEFAULT, nodes: 0 })
})

test('mbind on a private mapping of a memfd sets the policy of the file, too', () => {
  const { run, calls, bind, touch, policyAt } = setUp()
  const fd = calls.memfd('file', 2 * PAGE)
  const shared = run(calls.mmap(2 * PAGE, 3, SHARED, fd, 0))
  const own = run(calls.mmap(2 * PAGE, 3, 2, fd, 0))
  expect(bind(own, 1, Mpol.BIND, mask(1))).toBe(0)
  expect(policyAt(shared)).toEqual({ policy: Mpol.BIND, nodes: 2 })
  expect(policyAt(own)).toEqual({ policy: Mpol.BIND, nodes: 2 })
  expect(touch(shared, 2)).toEqual([1, 0])
  // The copy that a write makes goes by the file's, whoever set it.
  expect(bind(shared + PAGE, 1, Mpol.BIND, mask(1))).toBe(0)
  run(calls.store(hva(own + PAGE), Uint8Array.of(1)))
  expect(touch(own + PAGE, 1)).toEqual([1])
})

test('mbind on a shared mapping of a memfd is the policy of the file, whoever maps it', () => {
  const { run, calls, bind, touch, policyAt } = setUp()
  const fd = calls.memfd('file', 8 * PAGE)
  const one = run(calls.mmap(8 * PAGE, 3, SHARED, fd, 0))
  const two = run(calls.mmap(4 * PAGE, 3, SHARED, fd, 4 * PAGE))
  expect(bind(one + 4 * PAGE, 2, Mpol.BIND, mask(1))).toBe(0)
  expect(policyAt(two)).toEqual({ policy: Mpol.BIND, nodes: 2 })
  expect(policyAt(two + 2 * PAGE)).toEqual({ policy: Mpol.DEFAULT, nodes: 0 })
  expect(touch(two, 3)).toEqual([1, 1, 0])
})

test('get_mempolicy: mode with its flags, nodes as the caller named them, the node of a page', () => {
  const { run, calls, bind, policyAt } = setUp()
  const at = run(calls.mmapAnonymous(4 * PAGE))
  bind(at, 1, Mpol.BIND | MpolMode.STATIC_NODES, mask(1, 5))
  expect(policyAt(at)).toEqual({ policy: Mpol.BIND | MpolMode.STATIC_NODES, nodes: 0b100010 })
  bind(at + PAGE, 1, Mpol.BIND, mask(1, 5))
  expect(policyAt(at + PAGE)).toEqual({ policy: Mpol.BIND, nodes: 2 })
  bind(at + 2 * PAGE, 1, Mpol.PREFERRED, 0)
  expect(policyAt(at + 2 * PAGE)).toEqual({ policy: Mpol.LOCAL, nodes: 0 })
  // It faults the page in to tell.
  const node = run(calls.getMempolicy(null, at + PAGE, MpolGet.ADDR | MpolGet.NODE))
  expect(node).toMatchObject({ policy: 1 })
  expect(run(calls.getMempolicy(64, 0, MpolGet.MEMS_ALLOWED))).toEqual({ policy: 0, nodes: 3 })
})

test('get_mempolicy refuses a short mask, unknown flags, contradictions and what is not mapped', () => {
  const { run, calls } = setUp()
  const ask = (maxNode: number | null, address: number, flags: number) =>
    run(calls.getMempolicy(maxNode, address, flags))
  expect(ask(1, 0, 0)).toBe(-Errno.EINVAL)
  expect(ask(64, 0, 8)).toBe(-Errno.EINVAL)
  expect(ask(64, 0, MpolGet.MEMS_ALLOWED | MpolGet.ADDR)).toBe(-Errno.EINVAL)
  expect(ask(64, 0x1000, 0)).toBe(-Errno.EINVAL)
  expect(ask(64, 0x1000, MpolGet.ADDR)).toBe(-Errno.EFAULT)
  expect(ask(64, 0, MpolGet.NODE)).toBe(-Errno.EINVAL)
})

test('mbind checks in order: mode, nodes, flags, privilege, start, policy, holes, misplaced pages', () => {
  const { run, calls, touch } = setUp()
  const at = run(calls.mmapAnonymous(4 * PAGE))
  touch(at, 1)
  const call = (fields: Partial<Parameters<typeof calls.mbind>[0]>) =>
    run(
      calls.mbind({
        start: at,
        length: PAGE,
        mode: Mpol.BIND,
        nodes: mask(1),
        maxNode: 65,
        flags: 0,
        ...fields,
      }),
    )
  const unmapped = 0x1000
  expect(call({ mode: 7, nodes: unmapped })).toBe(-Errno.EINVAL)
  expect(call({ mode: Mpol.BIND | MpolMode.STATIC_NODES | MpolMode.RELATIVE_NODES })).toBe(-Errno.EINVAL)
  expect(call({ mode: Mpol.INTERLEAVE | MpolMode.NUMA_BALANCING })).toBe(-Errno.EINVAL)
  expect(call({ nodes: unmapped, flags: 8 })).toBe(-Errno.EFAULT)
  expect(call({ maxNode: 0, flags: 8 })).toBe(-Errno.EINVAL)
  expect(call({ nodes: mask(0, 1030), maxNode: 1100 })).toBe(-Errno.EINVAL)
  expect(call({ flags: 8 })).toBe(-Errno.EINVAL)
  expect(call({ flags: MpolMove.MOVE_ALL, start: at + 1 })).toBe(-Errno.EPERM)
  expect(call({ start: at + 1, nodes: 0 })).toBe(-Errno.EINVAL)
  expect(call({ length: 0, nodes: 0 })).toBe(0)
  expect(call({ nodes: 0, start: unmapped })).toBe(-Errno.EINVAL)
  expect(call({ mode: Mpol.DEFAULT })).toBe(-Errno.EINVAL)
  expect(call({ mode: Mpol.LOCAL })).toBe(-Errno.EINVAL)
  expect(call({ mode: Mpol.PREFERRED | MpolMode.STATIC_NODES, nodes: 0 })).toBe(-Errno.EINVAL)
  expect(call({ nodes: mask(9) })).toBe(-Errno.EINVAL)
  expect(call({ start: unmapped, flags: MpolMove.STRICT })).toBe(-Errno.EFAULT)
  expect(call({ length: 5 * PAGE, flags: MpolMove.STRICT })).toBe(-Errno.EFAULT)
  expect(call({ flags: MpolMove.STRICT })).toBe(-Errno.EIO)
  // Nothing was set by any of them.
  expect(run(calls.getMempolicy(64, at, MpolGet.ADDR))).toEqual({ policy: 0, nodes: 0 })
  // With MOVE the policy is set, and the page that cannot move is reported.
  expect(call({ flags: MpolMove.STRICT | MpolMove.MOVE })).toBe(-Errno.EIO)
  expect(run(calls.getMempolicy(64, at, MpolGet.ADDR))).toEqual({ policy: Mpol.BIND, nodes: 2 })
  expect(call({ mode: Mpol.DEFAULT, nodes: 0, flags: MpolMove.STRICT })).toBe(0)
  calls.process.privileged = true
  expect(call({ flags: MpolMove.MOVE_ALL })).toBe(0)
})

test('a host of one node has node 0 only', () => {
  const { run, calls, bind } = setUp(1)
  const at = run(calls.mmapAnonymous(PAGE))
  expect(bind(at, 1, Mpol.BIND, mask(1))).toBe(-Errno.EINVAL)
  expect(bind(at, 1, Mpol.BIND, mask(0, 1))).toBe(0)
  expect(bind(at, 1, Mpol.BIND | MpolMode.RELATIVE_NODES, mask(1))).toBe(0)
  expect(run(calls.getMempolicy(64, 0, MpolGet.MEMS_ALLOWED))).toEqual({ policy: 0, nodes: 1 })
})
