// The random calls that trial.ts makes.

import fc from 'fast-check'

/** Frames at stake. */
export const FRAMES = 6
const GFNS = 8

/** How a frame leaves the host. */
export type Kind = 'lend' | 'share' | 'donate'
const kinds = ['lend', 'share', 'donate'] as const
const vm = fc.nat(2)
const range = fc.record({ from: fc.nat(FRAMES - 1), pages: fc.integer({ min: 1, max: 3 }) })
const kind = fc.constantFrom(...kinds)
const gfn = fc.nat(GFNS - 1)
/** A random call. */
export const operation = fc.oneof(
  fc.record({ op: fc.constant('give' as const), kind, vm, range }),
  fc.record({ op: fc.constant('back' as const), kind, vm, range, noSync: fc.boolean() }),
  fc.record({ op: fc.constant('map' as const), kind, vm, range, gfn }),
  fc.record({ op: fc.constant('unmap' as const), kind, vm, range, gfn }),
  fc.record({ op: fc.constant('consent' as const), vm, gfn }),
  fc.record({ op: fc.constant('run' as const), vm, running: fc.boolean() }),
  fc.record({ op: fc.constant('write' as const), range }),
  fc.record({ op: fc.constant('create' as const), kind, vms: fc.uniqueArray(vm, { minLength: 1 }), range }),
  fc.record({ op: fc.constant('accept' as const), parcel: fc.nat(3), vm, gfn }),
  fc.record({ op: fc.constant('release' as const), parcel: fc.nat(3), vm }),
  fc.record({ op: fc.constant('reclaim' as const), parcel: fc.nat(3) }),
)
export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never
