// Framing of the Resource Manager's RPC on its message queue: a message is a first part and up to 62 continuations,
// each of at most 240 bytes with a header of 8 (rsc_mgr.c, v17).
//
//   byte 0 version 1 | header words 2 << 4 · byte 1 type | continuations << 2 · u16 sequence · u32 message id
//
// A reply's payload starts with a u32, the RmError. What comes in is any VM's: decoding answers null for what is
// malformed and never throws.

/** Bytes of one message of the queue. */
export const MAX_MESSAGE_BYTES = 240
export const HEADER_BYTES = 8
/** Continuations of one RPC message. */
export const MAX_FRAGMENTS = 62
const PART_BYTES = MAX_MESSAGE_BYTES - HEADER_BYTES
/** Largest payload of an RPC message; a reply's error word counts. */
export const MAX_PAYLOAD_BYTES = PART_BYTES * (1 + MAX_FRAGMENTS)

const API = 1 | ((HEADER_BYTES / 4) << 4)

export const RpcType = { CONTINUATION: 0, REQUEST: 1, REPLY: 2, NOTIFICATION: 3 } as const

export interface RpcMessage {
  readonly type: number
  readonly sequence: number
  readonly messageId: number
  readonly payload: Uint8Array
}

/** The parts of a message in order. Throws when the payload is larger than MAX_PAYLOAD_BYTES: callers check. */
export const encodeRpc = ({ type, sequence, messageId, payload }: RpcMessage): Uint8Array[] => {
  if (payload.length > MAX_PAYLOAD_BYTES)
    throw new Error(`an RPC payload of ${payload.length} bytes does not fit`)
  const continuations = Math.max(0, Math.ceil(payload.length / PART_BYTES) - 1)
  return Array.from({ length: 1 + continuations }, (_, i) => {
    const body = payload.subarray(i * PART_BYTES, (i + 1) * PART_BYTES)
    const part = new Uint8Array(HEADER_BYTES + body.length)
    const view = new DataView(part.buffer)
    part[0] = API
    part[1] = (i === 0 ? type : RpcType.CONTINUATION) | (continuations << 2)
    view.setUint16(2, sequence, true)
    view.setUint32(4, messageId, true)
    part.set(body, HEADER_BYTES)
    return part
  })
}

/** The message that the parts make up, or null: malformed. */
export const decodeRpc = (parts: readonly Uint8Array[]): RpcMessage | null => {
  const first = parts.length > 0 ? header(parts[0]) : null
  if (!first || first.type === RpcType.CONTINUATION) return null
  if (first.continuations > MAX_FRAGMENTS || parts.length !== 1 + first.continuations) return null
  for (const part of parts.slice(1)) {
    const next = header(part)
    if (
      next?.type !== RpcType.CONTINUATION ||
      next.sequence !== first.sequence ||
      next.messageId !== first.messageId ||
      next.continuations !== first.continuations
    )
      return null
  }
  const payload = new Uint8Array(parts.reduce((sum, part) => sum + part.length - HEADER_BYTES, 0))
  let at = 0
  for (const part of parts) {
    payload.set(part.subarray(HEADER_BYTES), at)
    at += part.length - HEADER_BYTES
  }
  return { type: first.type, sequence: first.sequence, messageId: first.messageId, payload }
}

const header = (part: Uint8Array) => {
  if (part.length < HEADER_BYTES || part.length > MAX_MESSAGE_BYTES || part[0] !== API) return null
  const view = new DataView(part.buffer, part.byteOffset, part.length)
  return {
    type: part[1] & 3,
    continuations: part[1] >> 2,
    sequence: view.getUint16(2, true),
    messageId: view.getUint32(4, true),
  }
}
