// Random calls of three VMs and their host, against the model; and random bytes.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Gpa, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { PG } from '../host/folio-table.ts'
import { HypError } from './hyp/error.ts'
import { HLOS_VMID } from './hyp/hypervisor.ts'
import { Access } from './hyp/mapping.ts'
import { DONATE_NOSYNC, DonateOption, ExtentLabel, ModifyOperation } from './hyp/memextent.ts'
import { RmError } from './rm/error.ts'
import { encodeAccept, encodeHandle, Right } from './rm/memory-messages.ts'
import { RmMessage } from './rm/message-ids.ts'
import { handleOf, PRIVATE_MAP, SHARED_MAP, setUp } from './testing/below.ts'
import { expectAgreement, freshFrame, type ModelFrame } from './testing/model.ts'

const FRAMES = 6
const BASE_GFN = 0x2_0000
const GFNS = 8

type Kind = 'lend' | 'share' | 'donate'
const kinds = ['lend', 'share', 'donate'] as const
const createMessage = { lend: RmMessage.MEM_LEND, share: RmMessage.MEM_SHARE, donate: RmMessage.MEM_DONATE }
const give = {
  lend: DonateOption.TO_PROTECTED,
  share: DonateOption.TO_SIBLING,
  donate: DonateOption.TO_CHILD,
}
const giveBack = {
  lend: DonateOption.FROM_PROTECTED,
  share: DonateOption.TO_SIBLING,
  donate: DonateOption.TO_PARENT,
}

interface ModelParcel {
  readonly handle: number
  readonly kind: Kind
  readonly frames: readonly number[]
  /** Borrower -> first gfn, or null. */
  readonly borrowers: Map<number, number | null>
}

const vm = fc.nat(2)
const range = fc.record({ from: fc.nat(FRAMES - 1), pages: fc.integer({ min: 1, max: 3 }) })
const kind = fc.constantFrom(...kinds)
const gfn = fc.nat(GFNS - 1)
const operation = fc.oneof(
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
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

class Trial {
  readonly below = setUp()
  readonly vmids: readonly number[]
  readonly first: Pfn
  readonly model: ModelFrame[] = Array.from({ length: FRAMES }, freshFrame)
  readonly consent = new Map<number, Set<number>>()
  readonly running = new Map<number, boolean>()
  parcels: ModelParcel[] = []

  constructor() {
    this.vmids = [0, 1, 2].map(() => {
      const { vmid } = this.below.readyVm()
      this.below.start(vmid)
      this.consent.set(vmid, new Set())
      this.running.set(vmid, true)
      return vmid
    })
    this.first = this.below.frames(FRAMES)
  }

  frames({ from, pages }: { from: number; pages: number }): number[] {
    return Array.from({ length: Math.min(pages, FRAMES - from) }, (_, i) => from + i)
  }

  extents(vmid: number, of: Kind) {
    const extents = this.below.hypervisor.vm(vmid)?.extents
    const space = this.below.hypervisor.vm(vmid)?.space
    if (!extents || !space) throw new Error('no VM')
    return of === 'share'
      ? {
          space,
          host: extents[ExtentLabel.hostShared],
          guest: extents[ExtentLabel.guestShared],
          flags: SHARED_MAP,
        }
      : {
          space,
          host: extents[ExtentLabel.hostPrivate],
          guest: extents[ExtentLabel.guestPrivate],
          flags: PRIVATE_MAP,
        }
  }

  has(at: number, vmid: number, of: Kind): boolean {
    return of === 'share' ? this.model[at].sharers.has(vmid) : this.model[at].owner === vmid
  }

  mayGive(at: number, vmid: number, of: Kind): boolean {
    const { owner, sharers } = this.model[at]
    return owner === null && (of === 'share' ? !sharers.has(vmid) : sharers.size === 0)
  }

  given(at: number, vmid: number, of: Kind): void {
    const frame = this.model[at]
    if (of === 'share') frame.sharers.add(vmid)
    else {
      frame.owner = vmid
      frame.donated = of === 'donate'
    }
  }

  mayReturn(at: number, vmid: number, of: Kind): boolean {
    const frame = this.model[at]
    return (
      this.has(at, vmid, of) &&
      !frame.mapped.has(vmid) &&
      (of === 'share' || frame.donated === (of === 'donate'))
    )
  }

  returned(at: number, vmid: number, of: Kind): void {
    const frame = this.model[at]
    if (of === 'share') frame.sharers.delete(vmid)
    else {
      frame.owner = null
      frame.byte = 0
    }
  }

  isFree(vmid: number, at: number): boolean {
    return this.model.every(({ mapped }) => mapped.get(vmid) !== at)
  }

  inParcel(at: number): boolean {
    return this.parcels.some(({ frames }) => frames.includes(at))
  }

  apply(operation_: Operation): void {
    const { hypervisor, run, memory, offer, call } = this.below
    switch (operation_.op) {
      case 'give': {
        const vmid = this.vmids[operation_.vm]
        const of = operation_.kind
        const { host, guest } = this.extents(vmid, of)
        const frames = this.frames(operation_.range)
        const granted = frames.every((at) => this.mayGive(at, vmid, of))
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.memextentDonate(give[of], host, guest, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const at of frames) this.given(at, vmid, of)
        return
      }
      case 'back': {
        const vmid = this.vmids[operation_.vm]
        const of = operation_.kind
        const { host, guest } = this.extents(vmid, of)
        const frames = this.frames(operation_.range)
        if (frames.some((at) => this.inParcel(at))) return
        const granted = frames.every((at) => this.mayReturn(at, vmid, of))
        const pfn = (this.first + frames[0]) as Pfn
        const option = giveBack[of] + (operation_.noSync ? DONATE_NOSYNC : 0)
        const error = run(hypervisor.memextentDonate(option, guest, host, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (!granted) return
        if (operation_.noSync) {
          if (of !== 'share')
            for (const at of frames)
              expect(hypervisor.hostAccess((this.first + at) as Pfn, false)).toBe(false)
          run(hypervisor.memextentModify(guest, ModifyOperation.SYNC_ALL))
        }
        for (const at of frames) this.returned(at, vmid, of)
        return
      }
      case 'map': {
        const vmid = this.vmids[operation_.vm]
        const { space, guest, flags } = this.extents(vmid, operation_.kind)
        const frames = this.frames(operation_.range)
        if (frames.some((at) => this.inParcel(at))) return
        const gfnOf = (i: number) => BASE_GFN + operation_.gfn + i
        const granted = frames.every(
          (at, i) =>
            this.has(at, vmid, operation_.kind) &&
            !this.model[at].mapped.has(vmid) &&
            this.isFree(vmid, gfnOf(i)),
        )
        const gpa = (gfnOf(0) * PAGE_SIZE) as Gpa
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.addrspaceMap(space, guest, gpa, Access.RW, flags, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const [i, at] of frames.entries()) this.model[at].mapped.set(vmid, gfnOf(i))
        return
      }
      case 'unmap': {
        const vmid = this.vmids[operation_.vm]
        const { space, guest, flags } = this.extents(vmid, operation_.kind)
        const frames = this.frames(operation_.range)
        if (frames.some((at) => this.inParcel(at))) return
        const consent = this.consent.get(vmid)
        const gfnOf = (i: number) => BASE_GFN + operation_.gfn + i
        const keeps = (i: number) =>
          operation_.kind !== 'share' && this.running.get(vmid) && !consent?.has(gfnOf(i))
        const granted = frames.every(
          (at, i) =>
            this.has(at, vmid, operation_.kind) && this.model[at].mapped.get(vmid) === gfnOf(i) && !keeps(i),
        )
        const gpa = (gfnOf(0) * PAGE_SIZE) as Gpa
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.addrspaceUnmap(space, guest, gpa, flags, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const at of frames) this.unmapped(at, vmid)
        return
      }
      case 'consent': {
        const vmid = this.vmids[operation_.vm]
        this.extents(vmid, 'lend').space.release(BASE_GFN + operation_.gfn, 1)
        this.consent.get(vmid)?.add(BASE_GFN + operation_.gfn)
        return
      }
      case 'run': {
        const vmid = this.vmids[operation_.vm]
        this.extents(vmid, 'lend').space.running = operation_.running
        this.running.set(vmid, operation_.running)
        return
      }
      case 'write':
        for (const at of this.frames(operation_.range)) {
          if (!hypervisor.hostAccess((this.first + at) as Pfn, true)) continue
          memory.frame((this.first + at) as Pfn).fill(0x77)
          this.model[at].byte = 0x77
        }
        return
      case 'create': {
        const of = operation_.kind
        const vmids = (of === 'share' ? operation_.vms : operation_.vms.slice(0, 1)).map((i) => this.vmids[i])
        const frames = this.frames(operation_.range)
        const granted = vmids.every((vmid) => frames.every((at) => this.mayGive(at, vmid, of)))
        const owner = of === 'share' ? [HLOS_VMID] : []
        const acl = [...owner, ...vmids].map((vmid) => ({ vmid, rights: Right.ALL }))
        // One entry a page, so that lists of several entries are common.
        const sgl = frames.map((at) => ({ ipa: (this.first + at) * PAGE_SIZE, size: PAGE_SIZE }))
        const reply = offer(createMessage[of], { acl, sgl })
        expect(reply.error).toBe(granted ? RmError.OK : RmError.MEM_INVALID)
        if (!granted) return
        for (const vmid of vmids) for (const at of frames) this.given(at, vmid, of)
        const borrowers = new Map<number, number | null>(vmids.map((vmid) => [vmid, null]))
        this.parcels.push({ handle: handleOf(reply), kind: of, frames, borrowers })
        return
      }
      case 'accept': {
        const parcel = this.parcels[operation_.parcel]
        if (!parcel) return
        const vmid = this.vmids[operation_.vm]
        const { handle, frames, borrowers } = parcel
        const start = BASE_GFN + operation_.gfn
        const granted =
          borrowers.get(vmid) === null &&
          frames.every((at, i) => this.isFree(vmid, start + i) && !this.model[at].mapped.has(vmid))
        const sgl = [{ ipa: start * PAGE_SIZE, size: frames.length * PAGE_SIZE }]
        const payload = encodeAccept({ handle, flags: 0, label: 0, acl: [], sgl })
        expect(call(vmid, RmMessage.MEM_ACCEPT, payload).error === RmError.OK).toBe(granted)
        if (!granted) return
        borrowers.set(vmid, start)
        for (const [i, at] of frames.entries()) this.model[at].mapped.set(vmid, start + i)
        if (parcel.kind === 'donate') this.parcels = this.parcels.filter((one) => one !== parcel)
        return
      }
      case 'release': {
        const parcel = this.parcels[operation_.parcel]
        if (!parcel) return
        const vmid = this.vmids[operation_.vm]
        const granted = (parcel.borrowers.get(vmid) ?? null) !== null
        const payload = encodeHandle({ handle: parcel.handle, flags: 0 })
        expect(call(vmid, RmMessage.MEM_RELEASE, payload).error === RmError.OK).toBe(granted)
        if (!granted) return
        parcel.borrowers.set(vmid, null)
        for (const at of parcel.frames) this.unmapped(at, vmid)
        return
      }
      case 'reclaim': {
        const parcel = this.parcels[operation_.parcel]
        if (!parcel) return
        const granted = [...parcel.borrowers.values()].every((accepted) => accepted === null)
        const payload = encodeHandle({ handle: parcel.handle, flags: 0 })
        const { error } = call(HLOS_VMID, RmMessage.MEM_RECLAIM, payload)
        expect(error).toBe(granted ? RmError.OK : RmError.MEM_INUSE)
        if (!granted) return
        for (const vmid of parcel.borrowers.keys())
          for (const at of parcel.frames) this.returned(at, vmid, parcel.kind)
        this.parcels = this.parcels.filter((one) => one !== parcel)
      }
    }
  }

  unmapped(at: number, vmid: number): void {
    const gfnWas = this.model[at].mapped.get(vmid)
    if (gfnWas !== undefined) this.consent.get(vmid)?.delete(gfnWas)
    this.model[at].mapped.delete(vmid)
  }
}

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
