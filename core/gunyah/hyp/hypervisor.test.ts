import { expect, test } from 'vitest'
import { type Gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { PageType, PG } from '../../host/folio-table.ts'
import { PRIVATE_MAP, SHARED_MAP, setUp } from '../testing/below.ts'
import { HypError, hypErrno } from './error.ts'
import { Access, MapFlag } from './mapping.ts'
import { DonateOption, ModifyOperation } from './memextent.ts'

const { OK } = HypError
const GPA = 0x1000_0000 as Gpa
const { TO_PROTECTED, FROM_PROTECTED, TO_SIBLING, TO_CHILD, TO_PARENT } = DonateOption

/** A host, a VM, and calls on the VM's private memory. */
const withVm = (options: Parameters<typeof setUp>[0] = { reclaim: 'refuse' }) => {
  const test = setUp(options)
  const vm = test.vm(0x40)
  const { hypervisor, run } = test
  const lend = (pfn: Pfn, pages = 1, bits = 0) =>
    run(hypervisor.memextentDonate(TO_PROTECTED | bits, vm.hostPrivate, vm.guestPrivate, pfn, pages))
  const takeBack = (pfn: Pfn, pages = 1, bits = 0) =>
    run(hypervisor.memextentDonate(FROM_PROTECTED | bits, vm.guestPrivate, vm.hostPrivate, pfn, pages))
  const map = (pfn: Pfn, gpa = GPA, pages = 1, access: number = Access.RWX) =>
    run(hypervisor.addrspaceMap(vm.space, vm.guestPrivate, gpa, access, PRIVATE_MAP, pfn, pages))
  const unmap = (pfn: Pfn, gpa = GPA, pages = 1, bits = 0) =>
    run(hypervisor.addrspaceUnmap(vm.space, vm.guestPrivate, gpa, PRIVATE_MAP | bits, pfn, pages))
  return { ...test, ...vm, lend, takeBack, map, unmap }
}

test('the host reaches every frame, in 2 MiB leaves, until one is lent', () => {
  const { hypervisor, memory, frames, lend } = withVm()
  const { hostStage2 } = hypervisor
  expect(hostStage2.mapped).toBe(memory.layout.frames)
  expect(hostStage2.largeLeaves).toBe(Math.floor(memory.layout.frames / 512))
  const pfn = frames(2)
  expect(lend(pfn)).toBe(OK)
  expect(hostStage2.mapped).toBe(memory.layout.frames - 1)
  expect(hostStage2.leaf(pfn + 1)).toEqual({ pfn: pfn + 1, writable: true, private: false, level: 0 })
  expect([hypervisor.hostAccess(pfn, false), hypervisor.hostAccess((pfn + 1) as Pfn, true)]).toEqual([
    false,
    true,
  ])
  expect([memory.folios.has(pfn, PG.lent), memory.folios.has((pfn + 1) as Pfn, PG.lent)]).toEqual([
    true,
    false,
  ])
})

test('a lent frame keeps its bytes for the guest and comes back zeroed', () => {
  const { hypervisor, memory, frames, lend, map, unmap, takeBack, space } = withVm()
  const pfn = frames(1)
  lend(pfn)
  expect(map(pfn)).toBe(OK)
  expect(memory.frame(pfn)[7]).toBe(0x5a)
  expect(space.stage2.leaf(GPA / PAGE_SIZE)).toMatchObject({ pfn, private: true, writable: true })
  expect(takeBack(pfn)).toBe(HypError.BUSY)
  expect(unmap(pfn)).toBe(OK)
  expect(takeBack(pfn)).toBe(OK)
  expect(memory.frame(pfn).every((byte) => byte === 0)).toBe(true)
  expect([hypervisor.hostAccess(pfn, true), memory.folios.has(pfn, PG.lent)]).toEqual([true, false])
})

test('a shared frame stays with the host and keeps its bytes on the way back', () => {
  const { hypervisor, memory, frames, run, hostShared, guestShared, hostPrivate, guestPrivate, space } =
    withVm()
  const pfn = frames(1)
  expect(run(hypervisor.memextentDonate(TO_SIBLING, hostShared, guestShared, pfn, 1))).toBe(OK)
  expect(run(hypervisor.addrspaceMap(space, guestShared, GPA, Access.RW, SHARED_MAP, pfn, 1))).toBe(OK)
  expect([hypervisor.hostAccess(pfn, true), memory.folios.has(pfn, PG.lent)]).toEqual([true, false])
  expect(run(hypervisor.memextentDonate(TO_PROTECTED, hostPrivate, guestPrivate, pfn, 1))).toBe(
    HypError.MEMDB_NOT_OWNER,
  )
  space.running = true
  expect(run(hypervisor.addrspaceUnmap(space, guestShared, GPA, SHARED_MAP, pfn, 1))).toBe(OK)
  expect(run(hypervisor.memextentDonate(TO_SIBLING, guestShared, hostShared, pfn, 1))).toBe(OK)
  expect(memory.frame(pfn)[7]).toBe(0x5a)
})

test('what is donated comes back by TO_PARENT only, what is lent by FROM_PROTECTED only', () => {
  const { hypervisor, frames, run, hostPrivate, guestPrivate, lend, takeBack } = withVm()
  const pfn = frames(2)
  const lent = (pfn + 1) as Pfn
  expect(run(hypervisor.memextentDonate(TO_CHILD, hostPrivate, guestPrivate, pfn, 1))).toBe(OK)
  lend(lent)
  expect(takeBack(pfn)).toBe(HypError.MEMDB_NOT_OWNER)
  const toParent = (at: Pfn) => run(hypervisor.memextentDonate(TO_PARENT, guestPrivate, hostPrivate, at, 1))
  expect(toParent(lent)).toBe(HypError.MEMDB_NOT_OWNER)
  expect([toParent(pfn), takeBack(lent)]).toEqual([OK, OK])
})

test('donations that make no sense are refused by kind', () => {
  const { hypervisor, memory, frames, run, hostPrivate, guestPrivate, guestShared, lend, takeBack, vm } =
    withVm()
  const other = vm(0x41)
  const pfn = frames(1)
  const donate = (option: number, from = hostPrivate, to = guestPrivate, at = pfn as number, pages = 1) =>
    run(hypervisor.memextentDonate(option, from, to, at as Pfn, pages))
  expect(donate(5)).toBe(HypError.ARGUMENT_INVALID)
  expect(donate(TO_SIBLING)).toBe(HypError.MEMEXTENT_TYPE)
  expect(donate(TO_PROTECTED, hostPrivate, guestShared)).toBe(HypError.MEMEXTENT_TYPE)
  expect(donate(TO_PROTECTED, hostPrivate, other.guestPrivate)).toBe(HypError.MEMEXTENT_TYPE)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, pfn, 0)).toBe(HypError.ARGUMENT_SIZE)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, 1.5)).toBe(HypError.ARGUMENT_INVALID)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, -1)).toBe(HypError.ARGUMENT_INVALID)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, memory.layout.frames)).toBe(HypError.ADDR_INVALID)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, 0)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(donate(TO_PROTECTED, hostPrivate, guestPrivate, hypervisor.hostStage2.root)).toBe(
    HypError.MEMDB_NOT_OWNER,
  )
  expect(takeBack(pfn)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(lend(pfn)).toBe(OK)
  expect(lend(pfn)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(donate(TO_PROTECTED, other.hostPrivate, other.guestPrivate)).toBe(HypError.MEMDB_NOT_OWNER)
})

test('of a range that is refused at its end nothing has moved', () => {
  const { hypervisor, memory, frames, lend } = withVm()
  const pfn = frames(4)
  lend((pfn + 3) as Pfn)
  expect(lend(pfn, 4)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(hypervisor.hostStage2.mapped).toBe(memory.layout.frames - 1)
  expect([0, 1, 2].map((i) => hypervisor.privateTo((pfn + i) as Pfn))).toEqual([null, null, null])
})

test('without a frame for the table a lend is NOMEM and changes nothing; a return never needs one', () => {
  const { hypervisor, host, frames, lend, takeBack } = withVm()
  const pfn = frames(512)
  const taken: Pfn[] = []
  const fill = () => {
    for (let at = host.buddy.tryAlloc(0, PageType.kernel, 0, 0); at >= 0; ) {
      taken.push(at as Pfn)
      at = host.buddy.tryAlloc(0, PageType.kernel, 0, 0)
    }
  }
  fill()
  const large = hypervisor.hostStage2.largeLeaves
  expect(lend(pfn)).toBe(HypError.NOMEM)
  expect([hypervisor.hostStage2.largeLeaves, hypervisor.hostAccess(pfn, true)]).toEqual([large, true])
  host.buddy.put(taken.pop() as Pfn)
  expect(lend(pfn, 512)).toBe(OK)
  fill()
  expect(takeBack(pfn, 512)).toBe(OK)
  expect(hypervisor.hostAccess((pfn + 511) as Pfn, true)).toBe(true)
})

test('mappings are checked: rights, flags, address, owner, what is there', () => {
  const { hypervisor, frames, run, lend, map, space, guestPrivate, hostPrivate, vm } = withVm()
  const other = vm(0x41)
  const pfn = frames(2)
  lend(pfn)
  expect(map(pfn, GPA, 1, Access.W)).toBe(HypError.ARGUMENT_INVALID)
  expect(map(pfn, GPA, 1, 15)).toBe(HypError.ARGUMENT_INVALID)
  expect(map(pfn, (GPA + 1) as Gpa)).toBe(HypError.ARGUMENT_ALIGNMENT)
  expect(map(pfn, (2 ** 41) as Gpa)).toBe(HypError.ADDR_OVERFLOW)
  expect(map(pfn, GPA, 0)).toBe(HypError.ARGUMENT_SIZE)
  expect(map((pfn + 1) as Pfn)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(map(pfn, GPA, 2)).toBe(HypError.MEMDB_NOT_OWNER)
  const raw = (extent: typeof guestPrivate, flags: number, on = space) =>
    run(hypervisor.addrspaceMap(on, extent, GPA, Access.RW, flags, pfn, 1))
  expect(raw(guestPrivate, SHARED_MAP)).toBe(HypError.ARGUMENT_INVALID)
  expect(raw(guestPrivate, MapFlag.PRIVATE)).toBe(HypError.ARGUMENT_INVALID)
  expect(raw(guestPrivate, PRIVATE_MAP | 8)).toBe(HypError.ARGUMENT_INVALID)
  expect(raw(hostPrivate, PRIVATE_MAP)).toBe(HypError.MEMEXTENT_TYPE)
  expect(raw(guestPrivate, PRIVATE_MAP, other.space)).toBe(HypError.MEMEXTENT_TYPE)
  expect(space.stage2.mapped).toBe(0)
  expect(map(pfn)).toBe(OK)
  expect(map(pfn, (GPA + PAGE_SIZE) as Gpa)).toBe(HypError.EXISTING_MAPPING)
  lend((pfn + 1) as Pfn)
  expect(map((pfn + 1) as Pfn)).toBe(HypError.EXISTING_MAPPING)
  expect(space.stage2.mapped).toBe(1)
})

test('lookup tells what a guest address shows', () => {
  const { hypervisor, frames, lend, map, space, guestPrivate } = withVm()
  const pfn = frames(1)
  lend(pfn)
  map(pfn, GPA, 1, Access.RX)
  expect(hypervisor.addrspaceLookup(space, GPA)).toEqual({
    error: OK,
    extent: guestPrivate,
    pfn,
    access: Access.RX,
  })
  expect(hypervisor.addrspaceLookup(space, (GPA + PAGE_SIZE) as Gpa).error).toBe(HypError.ADDR_INVALID)
  expect(hypervisor.addrspaceLookup(space, 5 as Gpa).error).toBe(HypError.ADDR_INVALID)
})

test('a running guest keeps its private pages until it releases them, unless the policy grants', () => {
  for (const reclaim of ['refuse', 'grant'] as const) {
    const { frames, lend, map, unmap, space } = withVm({ reclaim })
    const pfn = frames(1)
    lend(pfn)
    map(pfn)
    space.running = true
    if (reclaim === 'refuse') {
      expect(unmap(pfn)).toBe(HypError.DENIED)
      expect(space.stage2.mapped).toBe(1)
      space.release(GPA / PAGE_SIZE, 1)
    }
    expect(unmap(pfn)).toBe(OK)
    expect(space.released.size).toBe(0)
  }
})

test('a page that a test refuses stays mapped, even of a VM that does not run', () => {
  const { frames, lend, map, unmap, space } = withVm({
    reclaim: 'grant',
    refuses: (vmid, gfn) => vmid === 0x40 && gfn === GPA / PAGE_SIZE + 1,
  })
  const pfn = frames(2)
  lend(pfn, 2)
  map(pfn, GPA, 2)
  expect(unmap(pfn, GPA, 2)).toBe(HypError.DENIED)
  expect(space.stage2.mapped).toBe(2)
  expect(unmap(pfn, (GPA + PAGE_SIZE) as Gpa)).toBe(HypError.ADDR_INVALID)
  expect(unmap(pfn)).toBe(OK)
})

test('ZERO_RANGE zeroes frames of the extent and of no other', () => {
  const { hypervisor, memory, frames, run, lend, guestPrivate } = withVm()
  const pfn = frames(2)
  lend(pfn)
  const zero = (at: Pfn, pages: number) =>
    run(hypervisor.memextentModify(guestPrivate, ModifyOperation.ZERO_RANGE, at, pages))
  expect(zero(pfn, 2)).toBe(HypError.MEMDB_NOT_OWNER)
  expect(memory.frame(pfn)[0]).toBe(0x5a)
  expect(zero(pfn, 1)).toBe(OK)
  expect(memory.frame(pfn)[0]).toBe(0)
})

test('an abandoned frame is lost: it is not given back, and keeps its reference', () => {
  const { hypervisor, memory, frames, lend, takeBack } = withVm()
  const pfn = frames(1)
  lend(pfn)
  hypervisor.abandon(pfn)
  const { folios } = memory
  expect([folios.type(pfn), folios.owner[pfn], folios.refcount[pfn]]).toEqual([PageType.lost, 0x40, 1])
  expect(folios.has(pfn, PG.lent)).toBe(true)
  expect(takeBack(pfn)).toBe(HypError.MEMDB_NOT_OWNER)
})

test('a VM that goes leaves what it shared with the host, and what it had for itself with nobody', () => {
  const { hypervisor, host, frames, run, vm, hostShared, guestShared, guest, lend, map } = withVm()
  const pfn = frames(2)
  const shared = (pfn + 1) as Pfn
  lend(pfn)
  map(pfn)
  run(hypervisor.memextentDonate(TO_SIBLING, hostShared, guestShared, shared, 1))
  const tables = guest.space?.stage2.tablePages ?? 0
  const free = host.buddy.freeFrames
  run(hypervisor.destroyVm(guest))
  expect(host.buddy.freeFrames).toBe(free + tables)
  const next = vm(0x40)
  const donate = (at: Pfn) =>
    run(hypervisor.memextentDonate(TO_PROTECTED, next.hostPrivate, next.guestPrivate, at, 1))
  expect([donate(pfn), donate(shared)]).toEqual([HypError.MEMDB_NOT_OWNER, OK])
  expect(hypervisor.hostAccess(pfn, false)).toBe(false)
})

test('errors become the errnos of the driver', () => {
  expect(
    Object.fromEntries(Object.entries(HypError).map(([name, error]) => [name, hypErrno(error)])),
  ).toMatchObject({
    NOMEM: 'ENOMEM',
    DENIED: 'EACCES',
    BUSY: 'EBUSY',
    MEMDB_NOT_OWNER: 'EINVAL',
    EXISTING_MAPPING: 'EINVAL',
  })
})
