// KVM and Gunyah on one host, over one guest memory core (SPEC M, F, Y): whatever their VMs do, neither harms the other.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HostMemory } from '../host/host-memory.ts'
import { BothHypervisors, PAGES, type TestVm } from './testing/both-hypervisors.ts'

const memory = HostMemory.create(32 * 2 ** 20)
const parameters = { gmemStore: 'xarray', gmemLargeFolios: false, directMapPages: true } as const

const vm = fc.nat(3)
const page = fc.nat(PAGES - 2)
const value = fc.integer({ min: 1, max: 0xc4 })

const operation = fc.oneof(
  fc.record({ kind: fc.constant('touch' as const), vm, page, value: fc.option(value) }),
  fc.record({ kind: fc.constant('host' as const), vm, page, value: fc.option(value) }),
  fc.record({
    kind: fc.constant('convert' as const),
    vm,
    page,
    pages: fc.integer({ min: 1, max: 4 }),
    toPrivate: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('punch' as const), vm, page, pages: fc.integer({ min: 1, max: 4 }) }),
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** The byte that was seen, or why none was. */
const perform = (world: BothHypervisors, it: Operation): number | string => {
  const target: TestVm = world.vms[it.vm]
  switch (it.kind) {
    case 'touch':
      return target.touch(it.page, it.value)
    case 'host':
      return world.hostAccess(target, it.page, it.value)
    case 'convert':
      return target.convert(it.page, Math.min(it.pages, PAGES - 1 - it.page), it.toPrivate)
    case 'punch':
      return String(world.punch(target, it.page, Math.min(it.pages, PAGES - 1 - it.page)))
  }
}

describe.each(['refuse', 'grant'] as const)('reclaim: %s', (reclaim) => {
  test('Y22 every invariant of both, and of the memory, holds after any calls; no canary is touched', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 10, maxLength: 40 }), (operations) => {
        const world = new BothHypervisors(memory, { ...parameters, reclaim })
        for (const it of operations) {
          const seen = perform(world, it)
          expect(seen, 'a canary was read').not.toBe(0xc5)
        }
        expect(world.violations()).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  test('Y22 what a guest keeps for itself nobody else changes', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 10, maxLength: 40 }), vm, page, (operations, kept, at) => {
        const world = new BothHypervisors(memory, { ...parameters, reclaim })
        const owner = world.vms[kept]
        expect(owner.touch(at, 77)).toBe(77)
        for (const it of operations) if (it.vm !== kept) perform(world, it)
        expect(owner.touch(at, null)).toBe(77)
      }),
      { numRuns: 30 },
    )
  })
})

test('Y23 the host reaches what KVM keeps private by physical address, and nothing that Gunyah has lent', () => {
  const world = new BothHypervisors(memory, { ...parameters, reclaim: 'refuse' })
  const frames = (kind: TestVm['kind']): boolean[] => {
    const target = world.vms.find((it) => it.kind === kind)
    if (!target) throw new Error('no such VM')
    target.touch(3, 9)
    const views = kind === 'kvm' ? [...world.kvm.vms].map(({ stage2 }) => stage2) : []
    for (const { resources } of world.gunyah.vms)
      if (kind === 'gunyah' && resources) views.push(resources.space.stage2)
    const reached: boolean[] = []
    for (const stage2 of views)
      stage2.forEachLeaf((_gfn, pfn) => {
        reached.push(world.host.reaches(pfn, false))
      })
    return reached
  }
  expect(new Set(frames('kvm'))).toEqual(new Set([true]))
  expect(new Set(frames('gunyah'))).toEqual(new Set([false]))
})
