// What the Linux driver calls of the Resource Manager: typed wrappers over its RPC (rsc_mgr_rpc.c, v17).
//
// Each encodes a request, has it answered over the queue, and throws a KernelError with the errno that the driver
// makes of an error word.

import { KernelError } from '../../base/errno.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import type { AddressSpace } from '../hyp/address-space.ts'
import { HLOS_VMID } from '../hyp/hypervisor.ts'
import type { Extents } from '../hyp/memextent.ts'
import { rmErrno } from './error.ts'
import {
  type AclEntry,
  AppendFlag,
  CreateFlag,
  decodeWord,
  encodeAppend,
  encodeCreate,
  encodeHandle,
  MEM_TYPE_NORMAL,
  type SglEntry,
} from './memory-messages.ts'
import { RmMessage } from './message-ids.ts'
import type { ResourceManager } from './resource-manager.ts'
import { decodeRpc, encodeRpc, MAX_PAYLOAD_BYTES, RpcType } from './rpc.ts'
import {
  decodeResources,
  decodeVmid,
  encodeImage,
  encodeLayout,
  encodePaging,
  encodeStop,
  encodeVmid,
  type ImageRequest,
  type LayoutRequest,
  type PagingRequest,
  ResourceType,
  STOP_FORCED,
} from './vm-messages.ts'

/** Entries of memory in one message; the rest is appended (GUNYAH_RM_MAX_MEM_ENTRIES). */
const MAX_MEM_ENTRIES = 512

/** Memory to lend or share. */
export interface Offer {
  readonly label: number
  /** For a share the primary VM's own entry is part of it. */
  readonly acl: readonly AclEntry[]
  /** Host physical. */
  readonly sgl: readonly SglEntry[]
  /** Zeroed before the borrower sees it. */
  readonly sanitise?: boolean
}

/** A VM's hypervisor objects. */
export interface VmResources {
  readonly space: AddressSpace
  /** By ExtentLabel. */
  readonly extents: Extents
}

export class RmClient {
  readonly #rm: ResourceManager
  #sequence = 0

  constructor(rm: ResourceManager) {
    this.#rm = rm
  }

  /** Any vmid. */
  *allocVmid(): KernelTask<number> {
    const vmid = decodeVmid(yield* this.#call(RmMessage.VM_ALLOC_VMID, encodeVmid(0)))
    if (vmid === null) throw new KernelError('EBADMSG')
    return vmid
  }

  *deallocVmid(vmid: number): KernelTask<void> {
    yield* this.#call(RmMessage.VM_DEALLOC_VMID, encodeVmid(vmid))
  }

  *vmConfigImage(request: ImageRequest): KernelTask<void> {
    yield* this.#call(RmMessage.VM_CONFIG_IMAGE, encodeImage(request))
  }

  *vmSetDemandPaging(request: PagingRequest): KernelTask<void> {
    yield* this.#call(RmMessage.VM_SET_DEMAND_PAGING, encodePaging(request))
  }

  *vmSetAddressLayout(request: LayoutRequest): KernelTask<void> {
    yield* this.#call(RmMessage.VM_SET_ADDRESS_LAYOUT, encodeLayout(request))
  }

  *vmInit(vmid: number): KernelTask<void> {
    yield* this.#call(RmMessage.VM_INIT, encodeVmid(vmid))
  }

  *vmStart(vmid: number): KernelTask<void> {
    yield* this.#call(RmMessage.VM_START, encodeVmid(vmid))
  }

  *vmStop(vmid: number): KernelTask<void> {
    yield* this.#call(RmMessage.VM_STOP, encodeStop({ vmid, ...STOP_FORCED }))
  }

  *vmReset(vmid: number): KernelTask<void> {
    yield* this.#call(RmMessage.VM_RESET, encodeVmid(vmid))
  }

  /** The VM's address space and extents; after vmInit. */
  *vmGetHypResources(vmid: number): KernelTask<VmResources> {
    const resources = decodeResources(yield* this.#call(RmMessage.VM_GET_HYP_RESOURCES, encodeVmid(vmid)))
    const { hypervisor } = this.#rm
    const extent = (wanted: number) => {
      const found = resources?.find(({ type, label }) => type === ResourceType.MEMEXTENT && label === wanted)
      const resolved = found ? hypervisor.extentOf(found.capability) : null
      if (!resolved) throw new KernelError('ENODEV')
      return resolved
    }
    const space = hypervisor.vm(vmid)?.space
    if (!space || !resources?.some(({ type }) => type === ResourceType.ADDRSPACE))
      throw new KernelError('ENODEV')
    return { space, extents: [extent(0), extent(1), extent(2), extent(3)] }
  }

  /** Lends memory; returns the parcel's handle. */
  *memLend(offer: Offer): KernelTask<number> {
    return yield* this.#offer(RmMessage.MEM_LEND, offer)
  }

  /** Shares memory; returns the parcel's handle. */
  *memShare(offer: Offer): KernelTask<number> {
    return yield* this.#offer(RmMessage.MEM_SHARE, offer)
  }

  *memReclaim(handle: number): KernelTask<void> {
    yield* this.#call(RmMessage.MEM_RECLAIM, encodeHandle({ handle, flags: 0 }))
  }

  *#offer(messageId: number, { label, acl, sgl, sanitise }: Offer): KernelTask<number> {
    const first = sgl.slice(0, MAX_MEM_ENTRIES)
    const flags = (sanitise ? CreateFlag.SANITIZE : 0) | (sgl.length > first.length ? CreateFlag.APPEND : 0)
    const request = encodeCreate({ memType: MEM_TYPE_NORMAL, flags, label, acl, sgl: first })
    const handle = decodeWord(yield* this.#call(messageId, request))
    if (handle === null) throw new KernelError('EBADMSG')
    try {
      for (let at = first.length; at < sgl.length; at += MAX_MEM_ENTRIES) {
        const rest = sgl.slice(at, at + MAX_MEM_ENTRIES)
        const end = at + rest.length === sgl.length ? AppendFlag.END : 0
        yield* this.#call(RmMessage.MEM_APPEND, encodeAppend({ handle, flags: end, sgl: rest }))
      }
    } catch (error) {
      yield* this.memReclaim(handle)
      throw error
    }
    return handle
  }

  /** gunyah_rm_call: the reply's payload. Throws KernelError. */
  *#call(messageId: number, payload: Uint8Array): KernelTask<Uint8Array> {
    if (payload.length > MAX_PAYLOAD_BYTES) throw new KernelError('E2BIG')
    this.#sequence = (this.#sequence + 1) % 0x1_0000
    const request = encodeRpc({ type: RpcType.REQUEST, sequence: this.#sequence, messageId, payload })
    const reply = decodeRpc(yield* this.#rm.exchange(HLOS_VMID, request))
    const error = reply ? decodeWord(reply.payload.subarray(0, 4)) : null
    if (!reply || error === null) throw new KernelError('EBADMSG')
    if (error !== 0) throw new KernelError(rmErrno(error))
    return reply.payload.subarray(4)
  }
}
