// Payloads of the Resource Manager's VM-management calls. Decoders answer null for what is malformed.

import type { SglEntry } from './memory-messages.ts'
import { WireReader, WireWriter } from './wire.ts'

/** VM_ALLOC_VMID takes 0 for any. Also the payload of calls that name a VM only. */
export const encodeVmid = (vmid: number): Uint8Array => new WireWriter().u16(vmid).u16(0).bytes

export const decodeVmid = (payload: Uint8Array): number | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  reader.skip(2)
  return reader.complete ? vmid : null
}

/** Why a VM is stopped by force. */
export const STOP_FORCED = { flags: 1, reason: 3 } as const

export interface StopRequest {
  readonly vmid: number
  readonly flags: number
  readonly reason: number
}

export const encodeStop = ({ vmid, flags, reason }: StopRequest): Uint8Array =>
  new WireWriter().u16(vmid).u8(flags).u8(0).u32(reason).bytes

export const decodeStop = (payload: Uint8Array): StopRequest | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  const flags = reader.u8()
  reader.skip(1)
  const request = { vmid, flags, reason: reader.u32() }
  return reader.complete ? request : null
}

/** VM_CONFIG_IMAGE; offsets and sizes in bytes, offsets from the parcel's start. */
export interface ImageRequest {
  readonly vmid: number
  /** 0: none. */
  readonly authentication: number
  readonly handle: number
  readonly imageOffset: number
  readonly imageSize: number
  readonly dtbOffset: number
  readonly dtbSize: number
}

export const encodeImage = (request: ImageRequest): Uint8Array =>
  new WireWriter()
    .u16(request.vmid)
    .u16(request.authentication)
    .u32(request.handle)
    .u64(request.imageOffset)
    .u64(request.imageSize)
    .u64(request.dtbOffset)
    .u64(request.dtbSize).bytes

export const decodeImage = (payload: Uint8Array): ImageRequest | null => {
  const reader = new WireReader(payload)
  const request = {
    vmid: reader.u16(),
    authentication: reader.u16(),
    handle: reader.u32(),
    imageOffset: reader.u64(),
    imageSize: reader.u64(),
    dtbOffset: reader.u64(),
    dtbSize: reader.u64(),
  }
  return reader.complete ? request : null
}

export interface PagingRequest {
  readonly vmid: number
  /** Guest addresses. */
  readonly ranges: readonly SglEntry[]
}

export const encodePaging = ({ vmid, ranges }: PagingRequest): Uint8Array => {
  const writer = new WireWriter().u16(vmid).u16(0).u32(ranges.length)
  for (const { ipa, size } of ranges) writer.u64(ipa).u64(size)
  return writer.bytes
}

export const decodePaging = (payload: Uint8Array): PagingRequest | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  reader.skip(2)
  const ranges = reader.list(reader.u32(), 16, () => ({ ipa: reader.u64(), size: reader.u64() }))
  return reader.complete ? { vmid, ranges } : null
}

/** Ranges of VM_SET_ADDRESS_LAYOUT (enum gunyah_rm_range_id). */
export const RangeId = { IMAGE: 0, FIRMWARE: 1 } as const

export interface LayoutRequest {
  readonly vmid: number
  readonly rangeId: number
  readonly base: number
  readonly size: number
}

export const encodeLayout = ({ vmid, rangeId, base, size }: LayoutRequest): Uint8Array =>
  new WireWriter().u16(vmid).u16(0).u32(rangeId).u64(base).u64(size).bytes

export const decodeLayout = (payload: Uint8Array): LayoutRequest | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  reader.skip(2)
  const request = { vmid, rangeId: reader.u32(), base: reader.u64(), size: reader.u64() }
  return reader.complete ? request : null
}

/** Kinds of hypervisor resources (enum gunyah_resource_type). */
export const ResourceType = { MEMEXTENT: 9, ADDRSPACE: 10 } as const

/** A resource of a VM: what it is, and its label; the capability of an extent or an address space. */
export interface HypResource {
  readonly type: number
  readonly label: number
  readonly capability: number
}

const RESOURCE_BYTES = 44
const NO_PARTNER = 0

/** {u8 type, pad, u16 partner vmid, u32 handle, u32 label, u64 capid, u32 virq handle, u32 virq, u64 base, u64 size}. */
export const encodeResources = (resources: readonly HypResource[]): Uint8Array => {
  const writer = new WireWriter().u32(resources.length)
  for (const { type, label, capability } of resources)
    writer.u8(type).u8(0).u16(NO_PARTNER).u32(0).u32(label).u64(capability).u64(0).u64(0).u64(0)
  return writer.bytes
}

export const decodeResources = (payload: Uint8Array): HypResource[] | null => {
  const reader = new WireReader(payload)
  const resources = reader.list(reader.u32(), RESOURCE_BYTES, () => {
    const type = reader.u8()
    reader.skip(7)
    const resource = { type, label: reader.u32(), capability: reader.u64() }
    reader.skip(24)
    return resource
  })
  return reader.complete ? resources : null
}

export interface VmStatus {
  readonly vmid: number
  readonly state: number
}

/** VM_STATUS: {u16 vmid, pad, u8 state, u8 OS status, u16 application status}. */
export const encodeStatus = (vmid: number, state: number): Uint8Array =>
  new WireWriter().u16(vmid).u16(0).u8(state).u8(0).u16(0).bytes

export const decodeStatus = (payload: Uint8Array): VmStatus | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  reader.skip(2)
  const state = reader.u8()
  reader.skip(3)
  return reader.complete ? { vmid, state } : null
}

/** Why a VM ended (enum gunyah_vm_exit_type). */
export const ExitType = { VM_EXIT: 0, SYSTEM_OFF: 1, SYSTEM_RESET: 2, SYSTEM_RESET2: 3, WATCHDOG: 4 } as const

export interface VmExit {
  readonly vmid: number
  readonly type: number
  readonly reason: Uint8Array
}

/** VM_EXITED: {u16 vmid, u16 type, u32 bytes, reason}. */
export const encodeExit = (vmid: number, type: number, reason: Uint8Array): Uint8Array => {
  const writer = new WireWriter().u16(vmid).u16(type).u32(reason.length)
  for (const byte of reason) writer.u8(byte)
  return writer.bytes
}

export const decodeExit = (payload: Uint8Array): VmExit | null => {
  const reader = new WireReader(payload)
  const vmid = reader.u16()
  const type = reader.u16()
  const reason = new Uint8Array(reader.list(reader.u32(), 1, () => reader.u8()))
  return reader.complete ? { vmid, type, reason } : null
}
