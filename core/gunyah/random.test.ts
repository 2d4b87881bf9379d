// Random calls of three VMs and their host, against the model; and random bytes.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Pfn } from '../base/units.ts'
import { PG } from '../host/folio-table.ts'
import { HLOS_VMID } from './hyp/hypervisor.ts'
import { RmMessage } from './rm/message-ids.ts'
import { setUp } from './testing/below.ts'
import { expectAgreement } from './testing/model.ts'
import { operation } from './testing/operations.ts'
import { Trial } from './testing/trial.ts'

test('random calls leave every frame where the model has it, and refused calls change nothing', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const trial = new Trial()
      for (const one of operations) {
        trial.apply(one)
        expectAgreement(trial.below, trial.first, trial.model, trial.vmids)
        expect([...trial.below.rm.registry.parcels.keys()]).toEqual(trial.parcels.map(({ handle }) => handle))
      }
    }),
    { numRuns: 150 },
  )
})

test('random bytes from anybody never throw, and leave lent frames and the host’s stage 2 in agreement', () => {
  const messages = Object.values(RmMessage)
  const call = fc.record({
    caller: fc.constantFrom(HLOS_VMID, 0x31, 0x32, 0, 0xffff),
    message: fc.oneof(fc.constantFrom(...messages), fc.nat()),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      // Small numbers are more often ids, handles and counts.
      fc
        .array(fc.constantFrom(0, 1, 2, 3, 7, 0x31, 0x32, 0x80), { maxLength: 60 })
        .map((all) => Uint8Array.from(all)),
    ),
  })
  fc.assert(
    fc.property(fc.array(call, { maxLength: 20 }), (calls) => {
      const below = setUp()
      below.readyVm()
      below.start(below.readyVm().vmid)
      for (const { caller, message, payload } of calls) below.call(caller, message, payload)
      const { folios, layout } = below.memory
      for (let pfn = 0; pfn < layout.frames; pfn++)
        if (folios.has(pfn as Pfn, PG.lent) === below.hypervisor.hostAccess(pfn as Pfn, false))
          throw new Error(`frame ${pfn} is lent and in the host's stage 2, or neither`)
    }),
  )
})
