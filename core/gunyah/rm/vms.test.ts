import { expect, test } from 'vitest'
import { type Gpa, PAGE_SIZE } from '../../base/units.ts'
import { HLOS_VMID } from '../hyp/hypervisor.ts'
import { DonateOption } from '../hyp/memextent.ts'
import { handleOf, IMAGE_GPA, PRIVATE_MAP, setUp } from '../testing/below.ts'
import { RmClient } from './client.ts'
import { RmError, rmErrno } from './error.ts'
import { AcceptFlag, encodeAccept, Right } from './memory-messages.ts'
import { RmMessage, RmNotification, VmState } from './message-ids.ts'
import { decodeExit, decodeStatus, ExitType, encodeVmid, RangeId } from './vm-messages.ts'

const setUpWithClient = () => {
  const base = setUp()
  return { ...base, client: new RmClient(base.rm) }
}

/** With what the driver says of its image, and what it hears. */
const withClient = () => {
  const base = setUpWithClient()
  const { client } = base
  const heard: [number, number][] = []
  base.rm.subscribe(HLOS_VMID, (notification, payload) =>
    heard.push([notification, (decodeStatus(payload) ?? decodeExit(payload))?.vmid ?? -1]),
  )
  const image = base.frames(1)
  const lendImage = (vmid: number) =>
    base.run(
      client.memLend({
        label: 0,
        acl: [{ vmid, rights: Right.ALL }],
        sgl: [{ ipa: image * PAGE_SIZE, size: PAGE_SIZE }],
      }),
    )
  const config = (vmid: number, handle: number) =>
    base.run(
      client.vmConfigImage({
        vmid,
        authentication: 0,
        handle,
        imageOffset: 0,
        imageSize: 0,
        dtbOffset: 0,
        dtbSize: PAGE_SIZE,
      }),
    )
  const layout = (vmid: number, gpa = IMAGE_GPA) =>
    base.run(client.vmSetAddressLayout({ vmid, rangeId: RangeId.IMAGE, base: gpa, size: PAGE_SIZE }))
  return { ...base, image, lendImage, config, layout, heard }
}

test('a VM from its id to its end, as the driver walks it', () => {
  const { client, run, rm, hypervisor, host, image, lendImage, config, layout, heard, memory } = withClient()
  const free = host.buddy.freeFrames
  const vmid = run(client.allocVmid())
  const handle = lendImage(vmid)
  run(client.vmSetDemandPaging({ vmid, ranges: [{ ipa: 0x9000_0000, size: 2 ** 20 }] }))
  config(vmid, handle)
  layout(vmid)
  expect(() => run(client.vmGetHypResources(vmid))).toThrow('EBADMSG')
  run(client.vmInit(vmid))
  const { space, extents } = run(client.vmGetHypResources(vmid))
  expect(extents.map(({ label }) => label)).toEqual([0, 1, 2, 3])
  expect(space.stage2.leaf(IMAGE_GPA / PAGE_SIZE)?.pfn).toBe(image)
  expect([rm.stateOf(vmid), space.running]).toEqual([VmState.READY, false])
  run(client.vmStart(vmid))
  expect([rm.stateOf(vmid), space.running, rm.registry.parcels.size]).toEqual([VmState.RUNNING, true, 0])
  expect(() => run(client.memReclaim(handle))).toThrow('EINVAL')
  run(client.vmStop(vmid))
  expect([rm.stateOf(vmid), space.running]).toEqual([VmState.EXITED, false])
  // The image is paged memory now: the driver takes it back page by page.
  const [guestPrivate, , hostPrivate] = extents
  run(hypervisor.addrspaceUnmap(space, guestPrivate, IMAGE_GPA as Gpa, PRIVATE_MAP, image, 1))
  run(hypervisor.memextentDonate(DonateOption.FROM_PROTECTED, guestPrivate, hostPrivate, image, 1))
  expect(memory.frame(image)[0]).toBe(0)
  run(client.vmReset(vmid))
  run(client.deallocVmid(vmid))
  expect(hypervisor.vm(vmid)).toBeNull()
  // One table of the host's stage 2 stays: that of the image's 2 MiB.
  expect(host.buddy.freeFrames).toBe(free - 1)
  const { VM_STATUS, VM_EXITED } = RmNotification
  expect(heard.map(([notification]) => notification)).toEqual([
    ...[VM_STATUS, VM_STATUS, VM_STATUS, VM_STATUS],
    ...[VM_STATUS, VM_EXITED, VM_STATUS, VM_STATUS],
  ])
  expect(new Set(heard.map(([, of]) => of))).toEqual(new Set([vmid]))
})

test('the image of a VM that did not start comes back by its handle, initialised or not', () => {
  for (const initialise of [false, true]) {
    const { client, run, hypervisor, image, lendImage, config, layout } = withClient()
    const vmid = run(client.allocVmid())
    const handle = lendImage(vmid)
    config(vmid, handle)
    layout(vmid)
    if (initialise) run(client.vmInit(vmid))
    run(client.memReclaim(handle))
    expect(hypervisor.hostAccess(image, true)).toBe(true)
    if (initialise) expect(() => run(client.vmStart(vmid))).toThrow('EBADMSG')
    run(client.vmReset(vmid))
    run(client.deallocVmid(vmid))
  }
})

test('a VM without a place for its image does not initialise', () => {
  const { client, run, rm, lendImage, config, layout } = withClient()
  for (const base of [null, 2 ** 41]) {
    const vmid = run(client.allocVmid())
    const handle = lendImage(vmid)
    config(vmid, handle)
    if (base !== null) layout(vmid, base)
    expect(() => run(client.vmInit(vmid))).toThrow('EINVAL')
    expect(rm.stateOf(vmid)).toBe(VmState.INIT_FAILED)
    run(client.memReclaim(handle))
  }
})

test('calls on VMs in the wrong state, or on none, are refused', () => {
  const { call, readyVm, start } = setUp()
  const { vmid } = readyVm()
  const error = (messageId: number, of = vmid) => call(HLOS_VMID, messageId, encodeVmid(of)).error
  expect(error(RmMessage.VM_INIT)).toBe(RmError.VM_STATE)
  expect(error(RmMessage.VM_DEALLOC_VMID)).toBe(RmError.VM_STATE)
  expect(error(RmMessage.VM_START, 0x99)).toBe(RmError.VMID_INVALID)
  expect(error(RmMessage.VM_STOP)).toBe(RmError.MSG_INVALID)
  expect(start(vmid).error).toBe(RmError.OK)
  expect(start(vmid).error).toBe(RmError.VM_STATE)
  expect(error(RmMessage.VM_RESET)).toBe(RmError.VM_STATE)
  expect(error(RmMessage.VM_ALLOC_VMID, vmid)).toBe(RmError.NORESOURCE)
  expect(error(RmMessage.VM_ALLOC_VMID, HLOS_VMID)).toBe(RmError.VMID_INVALID)
  expect(error(RmMessage.VM_ALLOC_VMID, 0x60)).toBe(RmError.OK)
  expect(error(0x1234)).toBe(RmError.UNIMPLEMENTED)
})

test('a reset lets go what the VM accepted, and brings back what was donated to it', () => {
  const { client, run, rm, hypervisor, frames, offer, call, readyVm, start } = setUpWithClient()
  const { vmid, image } = readyVm()
  start(vmid)
  const [lent, donated] = [frames(1), frames(1)]
  const acl = [{ vmid, rights: Right.ALL }]
  const handles = [
    [RmMessage.MEM_LEND, lent, 0x2000_0000],
    [RmMessage.MEM_DONATE, donated, 0x2000_1000],
  ].map(([message, pfn, gpa]) => {
    const handle = handleOf(offer(message, { acl, sgl: [{ ipa: pfn * PAGE_SIZE, size: PAGE_SIZE }] }))
    const sgl = [{ ipa: gpa, size: PAGE_SIZE }]
    const payload = encodeAccept({ handle, flags: AcceptFlag.DONE, label: 7, acl: [], sgl })
    expect(call(vmid, RmMessage.MEM_ACCEPT, payload).error).toBe(RmError.OK)
    return handle
  })
  rm.vmExited(vmid, ExitType.SYSTEM_OFF, new Uint8Array(0))
  expect(rm.stateOf(vmid)).toBe(VmState.EXITED)
  run(client.vmReset(vmid))
  expect(() => run(client.deallocVmid(vmid))).toThrow('EINVAL')
  run(client.memReclaim(handles[0]))
  expect([lent, donated, image].map((pfn) => hypervisor.hostAccess(pfn, true))).toEqual([true, true, false])
  run(client.deallocVmid(vmid))
})

test('a long list of memory is appended in messages of 512 entries', () => {
  const { client, run, rm, frames, readyVm } = setUpWithClient()
  const { vmid } = readyVm()
  const sgl = [frames(512), frames(512), frames(1)].flatMap((pfn, block) =>
    Array.from({ length: block < 2 ? 512 : 1 }, (_, i) => ({ ipa: (pfn + i) * PAGE_SIZE, size: PAGE_SIZE })),
  )
  const handle = run(client.memLend({ label: 0, acl: [{ vmid, rights: Right.ALL }], sgl }))
  expect([rm.registry.parcels.get(handle)?.sgl.length, rm.registry.parcels.get(handle)?.open]).toEqual([
    1025,
    false,
  ])
  run(client.memReclaim(handle))
  const taken = [...sgl, { ipa: 0, size: PAGE_SIZE }]
  expect(() => run(client.memLend({ label: 0, acl: [{ vmid, rights: Right.ALL }], sgl: taken }))).toThrow(
    'EINVAL',
  )
  expect(rm.registry.parcels.has(handle + 1)).toBe(false)
})

test('error words become the errnos of the driver', () => {
  const all = Object.fromEntries(Object.entries(RmError).map(([name, error]) => [name, rmErrno(error)]))
  expect(all).toMatchObject({
    NOMEM: 'ENOMEM',
    NORESOURCE: 'ENODEV',
    DENIED: 'EPERM',
    BUSY: 'EBUSY',
    UNIMPLEMENTED: 'EOPNOTSUPP',
    MSG_INVALID: 'EINVAL',
    MEM_INUSE: 'EINVAL',
    MEM_RELEASED: 'EINVAL',
    LOOKUP_FAILED: 'EINVAL',
    VM_STATE: 'EBADMSG',
  })
  expect(rmErrno(0x77)).toBe('EBADMSG')
})
