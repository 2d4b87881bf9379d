import { expect, test } from 'vitest'
import { type Gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { HLOS_VMID } from '../hyp/hypervisor.ts'
import { handleOf, IMAGE_GPA, setUp } from '../testing/below.ts'
import { RmError } from './error.ts'
import {
  AcceptFlag,
  AppendFlag,
  CreateFlag,
  decodeSgl,
  encodeAccept,
  encodeAppend,
  encodeHandle,
  NotifyFlag,
  ReleaseFlag,
  Right,
  type SglEntry,
} from './memory-messages.ts'
import { RmMessage, RmNotification } from './message-ids.ts'
import { MAX_PARCELS } from './registry.ts'

const { MEM_LEND, MEM_SHARE, MEM_DONATE } = RmMessage
const R = Right.R
const RW = Right.R | Right.W
const RWX = Right.ALL
const GPA = 0x2000_0000

const at = (pfn: number, pages = 1): SglEntry => ({ ipa: pfn * PAGE_SIZE, size: pages * PAGE_SIZE })
const to = (ipa: number, pages = 1): SglEntry => ({ ipa, size: pages * PAGE_SIZE })

/** Two VMs that run, and short calls. */
const withVms = () => {
  const base = setUp()
  const a = base.readyVm().vmid
  const b = base.readyVm().vmid
  base.start(a)
  base.start(b)
  const { call } = base
  const handleCall =
    (message: number) =>
    (vmid: number, handle: number, flags = 0) =>
      call(vmid, message, encodeHandle({ handle, flags })).error
  const accept = (
    vmid: number,
    handle: number,
    sgl: SglEntry[],
    flags: number = AcceptFlag.DONE,
    extra = {},
  ) =>
    call(vmid, RmMessage.MEM_ACCEPT, encodeAccept({ handle, flags, label: 7, acl: [], sgl, ...extra })).error
  const append = (vmid: number, handle: number, sgl: SglEntry[], flags = 0) =>
    call(vmid, RmMessage.MEM_APPEND, encodeAppend({ handle, flags, sgl })).error
  const lend = (pfn: Pfn, vmid = a, rights: number = RWX, flags = 0) =>
    handleOf(base.offer(MEM_LEND, { flags, acl: [{ vmid, rights }], sgl: [at(pfn)] }))
  const share = (pfn: Pfn, borrowers: readonly { vmid: number; rights: number }[], flags = 0) =>
    handleOf(
      base.offer(MEM_SHARE, { flags, acl: [{ vmid: HLOS_VMID, rights: RWX }, ...borrowers], sgl: [at(pfn)] }),
    )
  return {
    ...base,
    a,
    b,
    accept,
    append,
    lend,
    share,
    release: handleCall(RmMessage.MEM_RELEASE),
    reclaim: handleCall(RmMessage.MEM_RECLAIM),
    notify: handleCall(RmMessage.MEM_NOTIFY),
  }
}

test('the life of a lent parcel', () => {
  const { memory, hypervisor, frames, a, lend, accept, release, reclaim } = withVms()
  const pfn = frames(1)
  const handle = lend(pfn)
  expect(hypervisor.hostAccess(pfn, false)).toBe(false)
  expect(accept(a, handle, [to(GPA)])).toBe(RmError.OK)
  expect(hypervisor.vm(a)?.space?.stage2.leaf(GPA / PAGE_SIZE)).toMatchObject({ pfn, private: true })
  expect(memory.frame(pfn)[0]).toBe(0x5a)
  expect(accept(a, handle, [to(GPA + PAGE_SIZE)])).toBe(RmError.MEM_INUSE)
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.MEM_INUSE)
  expect(release(a, handle)).toBe(RmError.OK)
  expect(release(a, handle)).toBe(RmError.MEM_RELEASED)
  expect(reclaim(a, handle)).toBe(RmError.DENIED)
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.OK)
  expect([hypervisor.hostAccess(pfn, true), memory.frame(pfn)[0]]).toEqual([true, 0])
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.HANDLE_INVALID)
  expect(release(a, handle)).toBe(RmError.HANDLE_INVALID)
})

test('a shared parcel has several borrowers; the host keeps reaching it', () => {
  const { memory, hypervisor, frames, a, b, share, accept, release, reclaim } = withVms()
  const pfn = frames(1)
  const handle = share(pfn, [
    { vmid: a, rights: RW },
    { vmid: b, rights: R },
  ])
  expect([accept(a, handle, [to(GPA)]), accept(b, handle, [to(GPA)])]).toEqual([RmError.OK, RmError.OK])
  expect(hypervisor.vm(a)?.space?.stage2.leaf(GPA / PAGE_SIZE)).toMatchObject({
    pfn,
    writable: true,
    private: false,
  })
  expect(hypervisor.vm(b)?.space?.stage2.leaf(GPA / PAGE_SIZE)).toMatchObject({ pfn, writable: false })
  expect(hypervisor.hostAccess(pfn, true)).toBe(true)
  expect(release(a, handle)).toBe(RmError.OK)
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.MEM_INUSE)
  expect(release(b, handle, ReleaseFlag.SANITIZE)).toBe(RmError.DENIED)
  expect(release(b, handle)).toBe(RmError.OK)
  expect(release(HLOS_VMID, handle)).toBe(RmError.DENIED)
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.OK)
  expect(memory.frame(pfn)[0]).toBe(0x5a)
})

test('a share that one of its borrowers has already leaves the others without it', () => {
  const { frames, offer, a, b, share, reclaim, lend } = withVms()
  const pfn = frames(1)
  const first = share(pfn, [{ vmid: b, rights: R }])
  const acl = [HLOS_VMID, a, b].map((vmid) => ({ vmid, rights: R as number }))
  expect(offer(MEM_SHARE, { acl, sgl: [at(pfn)] }).error).toBe(RmError.MEM_INVALID)
  expect(reclaim(HLOS_VMID, first)).toBe(RmError.OK)
  expect(lend(pfn)).toBeGreaterThan(first)
})

test('shared memory is zeroed when anybody asks: at creation, acceptance, release or reclaim', () => {
  const { memory, frames, a, share, accept, release, reclaim } = withVms()
  const ways = [
    [CreateFlag.SANITIZE, 0, 0, 0],
    [0, AcceptFlag.SANITIZE, 0, 0],
    [0, 0, ReleaseFlag.SANITIZE, 0],
    [0, 0, 0, ReleaseFlag.SANITIZE],
  ]
  for (const [create, accepting, releasing, reclaiming] of ways) {
    const pfn = frames(1)
    const handle = share(pfn, [{ vmid: a, rights: RW }], create)
    expect(memory.frame(pfn)[0]).toBe(create ? 0 : 0x5a)
    expect(accept(a, handle, [to(GPA)], AcceptFlag.DONE | accepting)).toBe(RmError.OK)
    expect(release(a, handle, releasing)).toBe(RmError.OK)
    expect(reclaim(HLOS_VMID, handle, reclaiming)).toBe(RmError.OK)
    expect(memory.frame(pfn)[0]).toBe(0)
  }
})

test('who may be offered what', () => {
  const { frames, offer, a, b, call, rm } = withVms()
  const pfn = frames(2)
  const sgl = [at(pfn)]
  const error = (message: number, request: object) => offer(message, { sgl, ...request }).error
  const entry = (vmid: number, rights: number = RWX) => ({ vmid, rights })
  expect(error(MEM_LEND, { acl: [] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl: [entry(a), entry(a)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl: [entry(a), entry(HLOS_VMID)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl: [entry(a, 8)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl: [entry(a, Right.W)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl: [entry(a), entry(b)] })).toBe(RmError.UNIMPLEMENTED)
  expect(error(MEM_LEND, { acl: [entry(0x99)] })).toBe(RmError.VMID_INVALID)
  expect(error(MEM_SHARE, { acl: [entry(a)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_SHARE, { acl: [entry(HLOS_VMID)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_DONATE, { acl: [entry(a), entry(b)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_DONATE, { acl: [entry(a, RW)] })).toBe(RmError.DENIED)
  const acl = [entry(a)]
  expect(error(MEM_LEND, { acl, sgl: [] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl, sgl: [at(pfn, 2), at(pfn + 1)] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl, sgl: [{ ipa: 1, size: PAGE_SIZE }] })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl, sgl: [{ ipa: 2 ** 64, size: PAGE_SIZE }] })).not.toBe(RmError.OK)
  expect(error(MEM_LEND, { acl, sgl: [at(0)] })).toBe(RmError.MEM_INVALID)
  expect(error(MEM_LEND, { acl, sgl: [at(pfn, 2 ** 30)] })).toBe(RmError.MEM_INVALID)
  expect(error(MEM_LEND, { acl, memType: 1 })).toBe(RmError.ARGUMENT_INVALID)
  expect(error(MEM_LEND, { acl, flags: 4 })).toBe(RmError.ARGUMENT_INVALID)
  expect(call(a, MEM_LEND, new Uint8Array(3)).error).toBe(RmError.MSG_INVALID)
  expect(rm.registry.parcels.size).toBe(0)
})

test('a guest offers nothing, and knows of no parcel but by its handle', () => {
  const { call, a, b, frames, lend, accept, release, reclaim, append } = withVms()
  const handle = lend(frames(1))
  const sgl = [to(GPA)]
  expect(call(a, RmMessage.VM_START, new Uint8Array(4)).error).toBe(RmError.DENIED)
  expect(accept(b, handle, sgl)).toBe(RmError.DENIED)
  expect(accept(HLOS_VMID, handle, sgl)).toBe(RmError.DENIED)
  expect(accept(a, handle + 1, sgl)).toBe(RmError.HANDLE_INVALID)
  expect(release(b, handle)).toBe(RmError.DENIED)
  expect(reclaim(b, handle)).toBe(RmError.DENIED)
  expect(append(a, handle, sgl)).toBe(RmError.DENIED)
})

test('memory is appended until the end is said, and never after', () => {
  const { frames, offer, a, accept, append, reclaim, hypervisor } = withVms()
  const pfn = frames(4)
  const handle = handleOf(
    offer(MEM_LEND, { flags: CreateFlag.APPEND, acl: [{ vmid: a, rights: RWX }], sgl: [at(pfn)] }),
  )
  expect(accept(a, handle, [to(GPA)])).toBe(RmError.DENIED)
  expect(append(HLOS_VMID, handle, [at(pfn)])).toBe(RmError.ARGUMENT_INVALID)
  expect(append(HLOS_VMID, handle, [at(pfn + 1)], 2)).toBe(RmError.ARGUMENT_INVALID)
  expect(append(HLOS_VMID, handle, [at(pfn + 3)])).toBe(RmError.OK)
  expect(append(HLOS_VMID, handle, [at(pfn + 1)], AppendFlag.END)).toBe(RmError.OK)
  expect(append(HLOS_VMID, handle, [at(pfn + 2)])).toBe(RmError.DENIED)
  expect(append(HLOS_VMID, handle + 1, [])).toBe(RmError.HANDLE_INVALID)
  expect(accept(a, handle, [to(GPA, 2)])).toBe(RmError.ARGUMENT_INVALID)
  expect(accept(a, handle, [to(GPA, 2), to(GPA + 0x10_0000)])).toBe(RmError.OK)
  const stage2 = hypervisor.vm(a)?.space?.stage2
  const shown = [GPA, GPA + PAGE_SIZE, GPA + 0x10_0000].map((gpa) => stage2?.leaf(gpa / PAGE_SIZE)?.pfn)
  expect(shown).toEqual([pfn, pfn + 3, pfn + 1])
  expect(reclaim(HLOS_VMID, handle)).toBe(RmError.MEM_INUSE)
})

test('a borrower validates what it accepts', () => {
  const { frames, a, lend, accept } = withVms()
  const handle = lend(frames(1), a, R)
  const sgl = [to(GPA)]
  const acl = [{ vmid: a, rights: R as number }]
  expect(accept(a, handle, sgl, AcceptFlag.VALIDATE_SANITIZED)).toBe(RmError.VALIDATE_FAILED)
  expect(accept(a, handle, sgl, AcceptFlag.VALIDATE_LABEL, { label: 8 })).toBe(RmError.VALIDATE_FAILED)
  expect(accept(a, handle, sgl, AcceptFlag.VALIDATE_ACL)).toBe(RmError.VALIDATE_FAILED)
  expect(accept(a, handle, sgl, AcceptFlag.SANITIZE)).toBe(RmError.DENIED)
  expect(accept(a, handle, sgl, AcceptFlag.MAP_OTHER)).toBe(RmError.UNIMPLEMENTED)
  expect(accept(a, handle, sgl, 64)).toBe(RmError.ARGUMENT_INVALID)
  expect(accept(a, handle, [to(IMAGE_GPA)])).toBe(RmError.MAP_FAILED)
  expect(accept(a, handle, [to(2 ** 41)])).toBe(RmError.MAP_FAILED)
  expect(accept(a, handle, [to(GPA + 1)])).toBe(RmError.ARGUMENT_INVALID)
  const all = AcceptFlag.VALIDATE_LABEL | AcceptFlag.VALIDATE_ACL | AcceptFlag.CONTIGUOUS
  expect(accept(a, handle, sgl, all, { acl })).toBe(RmError.OK)
})

test('an acceptance that fails half-way has mapped nothing', () => {
  const { frames, offer, a, accept, hypervisor } = withVms()
  const pfn = frames(2)
  const handle = handleOf(offer(MEM_LEND, { acl: [{ vmid: a, rights: RWX }], sgl: [at(pfn, 2)] }))
  const space = hypervisor.vm(a)?.space
  const before = space?.stage2.mapped
  expect(accept(a, handle, [to(GPA), to(IMAGE_GPA)])).toBe(RmError.MAP_FAILED)
  expect([space?.stage2.mapped, space?.released.size]).toEqual([before, 0])
  expect(accept(a, handle, [to(GPA, 2)])).toBe(RmError.OK)
})

test('donated memory is the guest’s: the handle is gone once it has accepted', () => {
  const { frames, offer, a, accept, reclaim, hypervisor } = withVms()
  const acl = [{ vmid: a, rights: RWX }]
  const [kept, back] = [frames(1), frames(1)]
  const first = handleOf(offer(MEM_DONATE, { acl, sgl: [at(kept)] }))
  const second = handleOf(offer(MEM_DONATE, { acl, sgl: [at(back)] }))
  expect(accept(a, first, [to(GPA)])).toBe(RmError.OK)
  expect([reclaim(HLOS_VMID, first), reclaim(HLOS_VMID, second)]).toEqual([
    RmError.HANDLE_INVALID,
    RmError.OK,
  ])
  expect([hypervisor.hostAccess(kept, false), hypervisor.hostAccess(back, false)]).toEqual([false, true])
})

test('the number of parcels is bounded', () => {
  const { frames, offer, a, rm } = withVms()
  const acl = [
    { vmid: HLOS_VMID, rights: RWX },
    { vmid: a, rights: R },
  ]
  const pfn = frames(MAX_PARCELS + 1)
  const errors = Array.from(
    { length: MAX_PARCELS + 1 },
    (_, i) => offer(MEM_SHARE, { acl, sgl: [at(pfn + i)] }).error,
  )
  expect(errors.slice(0, -1).every((error) => error === RmError.OK)).toBe(true)
  expect(errors.at(-1)).toBe(RmError.DENIED)
  expect(rm.registry.parcels.size).toBe(MAX_PARCELS)
})

test('each side looks up where it has a parcel, and tells the other', () => {
  const { frames, a, b, lend, accept, notify, call, rm } = withVms()
  const pfn = frames(1)
  const handle = lend(pfn)
  const lookUp = (vmid: number) => call(vmid, RmMessage.MEM_LOOKUP_SGL, encodeHandle({ handle, flags: 0 }))
  expect(decodeSgl(lookUp(HLOS_VMID).payload)).toEqual([at(pfn)])
  expect([lookUp(a).error, lookUp(b).error]).toEqual([RmError.MEM_RELEASED, RmError.DENIED])
  accept(a, handle, [to(GPA)])
  expect(decodeSgl(lookUp(a).payload)).toEqual([to(GPA)])
  const heard: [number, number][] = []
  for (const vmid of [HLOS_VMID, a]) rm.subscribe(vmid, (notification) => heard.push([vmid, notification]))
  expect(notify(HLOS_VMID, handle, NotifyFlag.SHARED)).toBe(RmError.OK)
  expect(notify(a, handle, NotifyFlag.ACCEPTED)).toBe(RmError.OK)
  expect(notify(a, handle, NotifyFlag.SHARED)).toBe(RmError.DENIED)
  expect(notify(b, handle, NotifyFlag.RELEASED)).toBe(RmError.DENIED)
  expect(notify(a, handle, 3)).toBe(RmError.ARGUMENT_INVALID)
  expect(heard).toEqual([
    [a, RmNotification.MEM_SHARED],
    [HLOS_VMID, RmNotification.MEM_ACCEPTED],
  ])
})

test('readers see the parcels', () => {
  const { memory, frames, a, lend, accept } = withVms()
  const pfn = frames(1)
  const handle = lend(pfn)
  const row = { handle, owner: HLOS_VMID, borrower: a, kind: 0, rights: RWX, pages: 1 }
  expect(memory.parcels.read()).toEqual([{ ...row, state: 1, accepted: false, ipa: pfn * PAGE_SIZE }])
  accept(a, handle, [to(GPA as Gpa)])
  expect(memory.parcels.read()).toEqual([{ ...row, state: 2, accepted: true, ipa: GPA }])
})
