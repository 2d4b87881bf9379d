// One run of random calls: each is made, its outcome foretold by the model and compared.

import { expect } from 'vitest'
import { type Gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { HypError } from '../hyp/error.ts'
import { HLOS_VMID } from '../hyp/hypervisor.ts'
import { Access } from '../hyp/mapping.ts'
import { DONATE_NOSYNC, DonateOption, ExtentLabel, ModifyOperation } from '../hyp/memextent.ts'
import { RmError } from '../rm/error.ts'
import { encodeAccept, encodeHandle, Right } from '../rm/memory-messages.ts'
import { RmMessage } from '../rm/message-ids.ts'
import { handleOf, PRIVATE_MAP, SHARED_MAP, setUp } from './below.ts'
import { freshFrame, type ModelFrame } from './model.ts'
import { FRAMES, type Kind, type Operation } from './operations.ts'

/** First gfn that is tried. */
const BASE_GFN = 0x2_0000

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

export class Trial {
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

  apply(what: Operation): void {
    const { hypervisor, run, memory, offer, call } = this.below
    switch (what.op) {
      case 'give': {
        const vmid = this.vmids[what.vm]
        const of = what.kind
        const { host, guest } = this.extents(vmid, of)
        const frames = this.frames(what.range)
        const granted = frames.every((at) => this.mayGive(at, vmid, of))
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.memextentDonate(give[of], host, guest, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const at of frames) this.given(at, vmid, of)
        return
      }
      case 'back': {
        const vmid = this.vmids[what.vm]
        const of = what.kind
        const { host, guest } = this.extents(vmid, of)
        const frames = this.frames(what.range)
        if (frames.some((at) => this.inParcel(at))) return
        const granted = frames.every((at) => this.mayReturn(at, vmid, of))
        const pfn = (this.first + frames[0]) as Pfn
        const option = giveBack[of] + (what.noSync ? DONATE_NOSYNC : 0)
        const error = run(hypervisor.memextentDonate(option, guest, host, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (!granted) return
        if (what.noSync) {
          if (of !== 'share')
            for (const at of frames)
              expect(hypervisor.hostAccess((this.first + at) as Pfn, false)).toBe(false)
          run(hypervisor.memextentModify(guest, ModifyOperation.SYNC_ALL))
        }
        for (const at of frames) this.returned(at, vmid, of)
        return
      }
      case 'map': {
        const vmid = this.vmids[what.vm]
        const { space, guest, flags } = this.extents(vmid, what.kind)
        const frames = this.frames(what.range)
        if (frames.some((at) => this.inParcel(at))) return
        const gfnOf = (i: number) => BASE_GFN + what.gfn + i
        const granted = frames.every(
          (at, i) =>
            this.has(at, vmid, what.kind) && !this.model[at].mapped.has(vmid) && this.isFree(vmid, gfnOf(i)),
        )
        const gpa = (gfnOf(0) * PAGE_SIZE) as Gpa
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.addrspaceMap(space, guest, gpa, Access.RW, flags, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const [i, at] of frames.entries()) this.model[at].mapped.set(vmid, gfnOf(i))
        return
      }
      case 'unmap': {
        const vmid = this.vmids[what.vm]
        const { space, guest, flags } = this.extents(vmid, what.kind)
        const frames = this.frames(what.range)
        if (frames.some((at) => this.inParcel(at))) return
        const consent = this.consent.get(vmid)
        const gfnOf = (i: number) => BASE_GFN + what.gfn + i
        const keeps = (i: number) =>
          what.kind !== 'share' && this.running.get(vmid) && !consent?.has(gfnOf(i))
        const granted = frames.every(
          (at, i) =>
            this.has(at, vmid, what.kind) && this.model[at].mapped.get(vmid) === gfnOf(i) && !keeps(i),
        )
        const gpa = (gfnOf(0) * PAGE_SIZE) as Gpa
        const pfn = (this.first + frames[0]) as Pfn
        const error = run(hypervisor.addrspaceUnmap(space, guest, gpa, flags, pfn, frames.length))
        expect(error === HypError.OK).toBe(granted)
        if (granted) for (const at of frames) this.unmapped(at, vmid)
        return
      }
      case 'consent': {
        const vmid = this.vmids[what.vm]
        this.extents(vmid, 'lend').space.release(BASE_GFN + what.gfn, 1)
        this.consent.get(vmid)?.add(BASE_GFN + what.gfn)
        return
      }
      case 'run': {
        const vmid = this.vmids[what.vm]
        this.extents(vmid, 'lend').space.running = what.running
        this.running.set(vmid, what.running)
        return
      }
      case 'write':
        for (const at of this.frames(what.range)) {
          if (!hypervisor.hostAccess((this.first + at) as Pfn, true)) continue
          memory.frame((this.first + at) as Pfn).fill(0x77)
          this.model[at].byte = 0x77
        }
        return
      case 'create': {
        const of = what.kind
        const vmids = (of === 'share' ? what.vms : what.vms.slice(0, 1)).map((i) => this.vmids[i])
        const frames = this.frames(what.range)
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
        const parcel = this.parcels[what.parcel]
        if (!parcel) return
        const vmid = this.vmids[what.vm]
        const { handle, frames, borrowers } = parcel
        const start = BASE_GFN + what.gfn
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
        const parcel = this.parcels[what.parcel]
        if (!parcel) return
        const vmid = this.vmids[what.vm]
        const granted = (parcel.borrowers.get(vmid) ?? null) !== null
        const payload = encodeHandle({ handle: parcel.handle, flags: 0 })
        expect(call(vmid, RmMessage.MEM_RELEASE, payload).error === RmError.OK).toBe(granted)
        if (!granted) return
        parcel.borrowers.set(vmid, null)
        for (const at of parcel.frames) this.unmapped(at, vmid)
        return
      }
      case 'reclaim': {
        const parcel = this.parcels[what.parcel]
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
