// A small host with the hypervisor and the Resource Manager on it, and short ways to drive them in tests.

import { PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { PageType } from '../../host/folio-table.ts'
import { Host } from '../../host/host.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import type { GuestVm } from '../hyp/guest-vm.ts'
import { HLOS_VMID, Hypervisor, type HypervisorOptions } from '../hyp/hypervisor.ts'
import { MapFlag } from '../hyp/mapping.ts'
import { ExtentLabel } from '../hyp/memextent.ts'
import type { RmError } from '../rm/error.ts'
import {
  type CreateRequest,
  decodeWord,
  encodeCreate,
  MEM_TYPE_NORMAL,
  Right,
} from '../rm/memory-messages.ts'
import { RmMessage } from '../rm/message-ids.ts'
import type { Reply } from '../rm/reply.ts'
import { ResourceManager } from '../rm/resource-manager.ts'
import { decodeVmid, encodeImage, encodeLayout, encodeVmid, RangeId } from '../rm/vm-messages.ts'

const memory = HostMemory.create(64 * 2 ** 20)

/** Guest address of the image that `readyVm` lends. */
export const IMAGE_GPA = 0x8000_0000
export const PRIVATE_MAP = MapFlag.PARTIAL | MapFlag.PRIVATE
export const SHARED_MAP = MapFlag.PARTIAL | MapFlag.VMMIO

export const setUp = (options: HypervisorOptions = { reclaim: 'refuse' }) => {
  memory.reset()
  const host = new Host(memory, { poison: true })
  const hypervisor = new Hypervisor(host, options)
  const rm = new ResourceManager(hypervisor)
  const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task, 'test')
  const call = (vmid: number, messageId: number, payload: Uint8Array): Reply =>
    run(rm.call(vmid, messageId, payload))

  /** `count` frames in a row, each filled with 0x5a. */
  const frames = (count: number): Pfn => {
    const order = Math.ceil(Math.log2(count))
    const pfn = host.buddy.alloc(order, PageType.gmem, 0, 0)
    memory.u8.fill(0x5a, pfn * PAGE_SIZE, (pfn + 2 ** order) * PAGE_SIZE)
    return pfn
  }

  /** A VM of the hypervisor's alone, with an address space. */
  const vm = (vmid: number) => {
    const guest = hypervisor.createVm(vmid)
    return { guest, ...parts(guest, hypervisor) }
  }

  /** Offers memory as the primary VM. */
  const offer = (messageId: number, request: Partial<CreateRequest>): Reply =>
    call(
      HLOS_VMID,
      messageId,
      encodeCreate({ memType: MEM_TYPE_NORMAL, flags: 0, label: 7, acl: [], sgl: [], ...request }),
    )

  /** A VM of the Resource Manager's that is READY, its image one lent page at IMAGE_GPA. */
  const readyVm = () => {
    const reply = call(HLOS_VMID, RmMessage.VM_ALLOC_VMID, encodeVmid(0))
    const vmid = decodeVmid(reply.payload) ?? 0
    const image = frames(1)
    const handle = handleOf(
      offer(RmMessage.MEM_LEND, {
        acl: [{ vmid, rights: Right.ALL }],
        sgl: [{ ipa: image * PAGE_SIZE, size: PAGE_SIZE }],
      }),
    )
    const errors: RmError[] = [
      call(
        HLOS_VMID,
        RmMessage.VM_CONFIG_IMAGE,
        encodeImage({
          vmid,
          authentication: 0,
          handle,
          imageOffset: 0,
          imageSize: 0,
          dtbOffset: 0,
          dtbSize: PAGE_SIZE,
        }),
      ).error,
      call(
        HLOS_VMID,
        RmMessage.VM_SET_ADDRESS_LAYOUT,
        encodeLayout({ vmid, rangeId: RangeId.IMAGE, base: IMAGE_GPA, size: PAGE_SIZE }),
      ).error,
      call(HLOS_VMID, RmMessage.VM_INIT, encodeVmid(vmid)).error,
    ]
    if (errors.some((error) => error !== 0)) throw new Error(`the VM did not get ready: ${errors}`)
    return { vmid, image, handle }
  }

  const start = (vmid: number): Reply => call(HLOS_VMID, RmMessage.VM_START, encodeVmid(vmid))

  return { host, memory, hypervisor, rm, run, call, frames, vm, offer, readyVm, start }
}

const parts = (guest: GuestVm, hypervisor: Hypervisor) => {
  hypervisor.createAddressSpace(guest)
  const { space, extents } = guest
  if (!space) throw new Error('no memory for an address space')
  return {
    space,
    guestPrivate: extents[ExtentLabel.guestPrivate],
    hostShared: extents[ExtentLabel.hostShared],
    hostPrivate: extents[ExtentLabel.hostPrivate],
    guestShared: extents[ExtentLabel.guestShared],
  }
}

/** The handle that a create call replied. */
export const handleOf = ({ error, payload }: Reply): number => {
  if (error !== 0) throw new Error(`no parcel: RM error ${error}`)
  return decodeWord(payload) ?? 0
}
