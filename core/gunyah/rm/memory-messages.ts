// Payloads of the Resource Manager's memory calls. Decoders answer null for what is malformed.

import { WireReader, WireWriter } from './wire.ts'

/** Rights in an ACL. */
export const Right = { X: 1, W: 2, R: 4, ALL: 7 } as const
export const CreateFlag = { SANITIZE: 1, APPEND: 2 } as const
export const AcceptFlag = {
  VALIDATE_SANITIZED: 1,
  VALIDATE_ACL: 2,
  VALIDATE_LABEL: 4,
  MAP_OTHER: 8,
  CONTIGUOUS: 16,
  SANITIZE: 32,
  DONE: 128,
} as const
/** Of a release and a reclaim. */
export const ReleaseFlag = { SANITIZE: 1 } as const
export const AppendFlag = { END: 1 } as const
/** Whom a MEM_NOTIFY tells what. */
export const NotifyFlag = { SHARED: 1, RELEASED: 2, ACCEPTED: 4, RECALL: 8 } as const
/** Memory type of a parcel: ordinary memory is the only one here. */
export const MEM_TYPE_NORMAL = 0

export interface AclEntry {
  readonly vmid: number
  /** Bits of Right. */
  readonly rights: number
}

/** Pages as bytes: both are multiples of 4096. */
export interface SglEntry {
  readonly ipa: number
  readonly size: number
}

/** MEM_DONATE, MEM_LEND, MEM_SHARE. */
export interface CreateRequest {
  readonly memType: number
  readonly flags: number
  readonly label: number
  readonly acl: readonly AclEntry[]
  readonly sgl: readonly SglEntry[]
}

export interface AcceptRequest {
  readonly handle: number
  readonly flags: number
  readonly label: number
  readonly acl: readonly AclEntry[]
  /** Where the borrower wants it; with CONTIGUOUS one entry, of the whole size. */
  readonly sgl: readonly SglEntry[]
}

/** MEM_RELEASE, MEM_RECLAIM, MEM_NOTIFY. */
export interface HandleRequest {
  readonly handle: number
  readonly flags: number
}

export interface AppendRequest extends HandleRequest {
  readonly sgl: readonly SglEntry[]
}

const readAcl = (reader: WireReader): AclEntry[] =>
  reader.list(reader.u32(), 4, () => {
    const entry = { vmid: reader.u16(), rights: reader.u8() }
    reader.skip(1)
    return entry
  })

const readSgl = (reader: WireReader): SglEntry[] => {
  const count = reader.u16()
  reader.skip(2)
  return reader.list(count, 16, () => ({ ipa: reader.u64(), size: reader.u64() }))
}

const writeAcl = (writer: WireWriter, acl: readonly AclEntry[]): void => {
  writer.u32(acl.length)
  for (const { vmid, rights } of acl) writer.u16(vmid).u8(rights).u8(0)
}

const writeSgl = (writer: WireWriter, sgl: readonly SglEntry[]): void => {
  writer.u16(sgl.length).u16(0)
  for (const { ipa, size } of sgl) writer.u64(ipa).u64(size)
}

export const encodeCreate = ({ memType, flags, label, acl, sgl }: CreateRequest): Uint8Array => {
  const writer = new WireWriter().u8(memType).u8(0).u8(flags).u8(0).u32(label)
  writeAcl(writer, acl)
  writeSgl(writer, sgl)
  // No attribute entries.
  return writer.u32(0).bytes
}

export const decodeCreate = (payload: Uint8Array): CreateRequest | null => {
  const reader = new WireReader(payload)
  const memType = reader.u8()
  reader.skip(1)
  const flags = reader.u8()
  reader.skip(1)
  const request = { memType, flags, label: reader.u32(), acl: readAcl(reader), sgl: readSgl(reader) }
  skipAttributes(reader)
  return reader.complete ? request : null
}

/** Memory attributes {u16 attribute, u16 vmid}: cache policies, which this machine does not have. */
const skipAttributes = (reader: WireReader): void => {
  const count = reader.u16()
  reader.skip(2)
  reader.list(count, 4, () => reader.u32())
}

export const encodeAccept = ({ handle, flags, label, acl, sgl }: AcceptRequest): Uint8Array => {
  const writer = new WireWriter().u32(handle).u8(flags).u8(0).u16(0).u32(label)
  writeAcl(writer, acl)
  writeSgl(writer, sgl)
  return writer.bytes
}

export const decodeAccept = (payload: Uint8Array): AcceptRequest | null => {
  const reader = new WireReader(payload)
  const handle = reader.u32()
  const flags = reader.u8()
  reader.skip(3)
  const request = { handle, flags, label: reader.u32(), acl: readAcl(reader), sgl: readSgl(reader) }
  return reader.complete ? request : null
}

export const encodeHandle = ({ handle, flags }: HandleRequest): Uint8Array =>
  new WireWriter().u32(handle).u8(flags).u8(0).u16(0).bytes

export const decodeHandle = (payload: Uint8Array): HandleRequest | null => {
  const reader = new WireReader(payload)
  const request = { handle: reader.u32(), flags: reader.u8() }
  reader.skip(3)
  return reader.complete ? request : null
}

export const encodeAppend = ({ handle, flags, sgl }: AppendRequest): Uint8Array => {
  const writer = new WireWriter().u32(handle).u8(flags).u8(0).u16(0)
  writeSgl(writer, sgl)
  return writer.bytes
}

export const decodeAppend = (payload: Uint8Array): AppendRequest | null => {
  const reader = new WireReader(payload)
  const handle = reader.u32()
  const flags = reader.u8()
  reader.skip(3)
  const request = { handle, flags, sgl: readSgl(reader) }
  return reader.complete ? request : null
}

/** The reply to a lookup: {u16 count, pad, entries}. */
export const encodeSgl = (sgl: readonly SglEntry[]): Uint8Array => {
  const writer = new WireWriter()
  writeSgl(writer, sgl)
  return writer.bytes
}

export const decodeSgl = (payload: Uint8Array): SglEntry[] | null => {
  const reader = new WireReader(payload)
  const sgl = readSgl(reader)
  return reader.complete ? sgl : null
}

/** A reply that is one word: a handle. */
export const encodeWord = (word: number): Uint8Array => new WireWriter().u32(word).bytes

export const decodeWord = (payload: Uint8Array): number | null => {
  const reader = new WireReader(payload)
  const word = reader.u32()
  return reader.complete ? word : null
}
