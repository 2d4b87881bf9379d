import { expect, test } from 'vitest'
import { type Gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { PG } from '../../host/folio-table.ts'
import { PRIVATE_MAP, setUp } from '../testing/below.ts'
import { HypError } from './error.ts'
import { Access, MapFlag } from './mapping.ts'
import { DONATE_NOSYNC, DonateOption, ModifyOperation } from './memextent.ts'

const { OK } = HypError
const GPA = 0x1000_0000 as Gpa
const { TO_PROTECTED, FROM_PROTECTED } = DonateOption

test('a frame reaches the host only after the vCPUs have acknowledged the flush', () => {
  const base = setUp()
  const { hypervisor, memory, host } = base
  const guest = hypervisor.createVm(0x40)
  let acknowledged = false
  let asked = 0
  guest.attach(0, function* () {
    asked++
    yield { at: 'test/flush', until: () => acknowledged }
  })
  hypervisor.createAddressSpace(guest)
  const [guestPrivate, , hostPrivate] = guest.extents
  const { space } = guest
  if (!space) throw new Error('no address space')
  const pfn = base.frames(1)
  base.run(hypervisor.memextentDonate(TO_PROTECTED, hostPrivate, guestPrivate, pfn, 1))
  base.run(hypervisor.addrspaceMap(space, guestPrivate, GPA, Access.RW, PRIVATE_MAP, pfn, 1))
  base.run(hypervisor.addrspaceUnmap(space, guestPrivate, GPA, PRIVATE_MAP | MapFlag.NOSYNC, pfn, 1))
  const noSync = FROM_PROTECTED | DONATE_NOSYNC
  expect(base.run(hypervisor.memextentDonate(noSync, guestPrivate, hostPrivate, pfn, 1))).toBe(OK)
  const seen = () => [asked, hypervisor.hostAccess(pfn, false), memory.frame(pfn)[0]]
  expect(seen()).toEqual([0, false, 0x5a])
  // On its way: nobody's to give, to map or to give back again.
  expect(base.run(hypervisor.memextentDonate(noSync, guestPrivate, hostPrivate, pfn, 1))).toBe(
    HypError.MEMDB_NOT_OWNER,
  )
  expect(base.run(hypervisor.addrspaceMap(space, guestPrivate, GPA, Access.R, PRIVATE_MAP, pfn, 1))).toBe(
    HypError.MEMDB_NOT_OWNER,
  )
  const sync = host.scheduler.spawn(
    'sync',
    hypervisor.memextentModify(guestPrivate, ModifyOperation.SYNC_ALL),
  )
  host.scheduler.pump()
  expect([sync.done, ...seen()]).toEqual([false, 1, false, 0x5a])
  acknowledged = true
  host.scheduler.pump()
  expect([sync.value, ...seen()]).toEqual([OK, 1, true, 0])
})

test('in any order of steps a frame that the host reaches is mapped nowhere and was flushed', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { hypervisor, host, memory, frames } = setUp()
    const guest = hypervisor.createVm(0x40)
    const pfn = frames(4)
    /** Frames that vCPUs may still have in their TLBs. */
    const cached = new Set<number>()
    guest.attach(0, function* () {
      const stale = [...cached].filter((at) => !guest.space?.stage2.leaf(GPA / PAGE_SIZE + at - pfn))
      yield { at: 'test/flush' }
      for (const at of stale) cached.delete(at)
    })
    hypervisor.createAddressSpace(guest)
    const [guestPrivate, , hostPrivate] = guest.extents
    const { space } = guest
    if (!space) throw new Error('no address space')
    host.scheduler.setMode({ kind: 'shuffle', seed })
    const errors: HypError[] = []
    const check = (): void => {
      for (const at of cached)
        if (hypervisor.hostAccess(at as Pfn, false)) throw new Error(`frame ${at} is cached`)
    }
    const life = function* (at: Pfn, bits: number) {
      const gpa = (GPA + (at - pfn) * PAGE_SIZE) as Gpa
      const flags = PRIVATE_MAP | bits
      errors.push(yield* hypervisor.memextentDonate(TO_PROTECTED, hostPrivate, guestPrivate, at, 1))
      cached.add(at)
      errors.push(yield* hypervisor.addrspaceMap(space, guestPrivate, gpa, Access.RW, flags, at, 1))
      check()
      errors.push(yield* hypervisor.addrspaceUnmap(space, guestPrivate, gpa, flags, at, 1))
      check()
      errors.push(yield* hypervisor.memextentDonate(FROM_PROTECTED | bits, guestPrivate, hostPrivate, at, 1))
      check()
      errors.push(yield* hypervisor.memextentModify(guestPrivate, ModifyOperation.SYNC_ALL))
      check()
    }
    for (let i = 0; i < 4; i++)
      host.scheduler.spawn(`life ${i}`, life((pfn + i) as Pfn, i % 2 ? MapFlag.NOSYNC : 0))
    host.scheduler.pump()
    expect(errors).toEqual(new Array(20).fill(OK))
    const seen = [0, 1, 2, 3].map((i) => (pfn + i) as Pfn)
    expect(seen.map((at) => hypervisor.hostAccess(at, true) && !memory.folios.has(at, PG.lent))).toEqual(
      new Array(4).fill(true),
    )
    expect(seen.map((at) => memory.frame(at)[0])).toEqual([0, 0, 0, 0])
  }
})
