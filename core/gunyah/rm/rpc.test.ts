import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeRpc,
  encodeRpc,
  HEADER_BYTES,
  MAX_FRAGMENTS,
  MAX_MESSAGE_BYTES,
  MAX_PAYLOAD_BYTES,
  RpcType,
} from './rpc.ts'

const message = (bytes: number) => ({
  type: RpcType.REQUEST,
  sequence: 0xabcd,
  messageId: 0x5100_0012,
  payload: Uint8Array.from({ length: bytes }, (_, i) => i % 251),
})

test('the header is as rsc_mgr.c lays it out', () => {
  expect([...encodeRpc(message(1))[0]]).toEqual([0x21, 1, 0xcd, 0xab, 0x12, 0, 0, 0x51, 0])
})

test('messages come out as they went in, in parts of at most 240 bytes', () => {
  for (const bytes of [0, 1, 232, 233, 464, 465, MAX_PAYLOAD_BYTES]) {
    const parts = encodeRpc(message(bytes))
    expect(parts.length).toBe(Math.max(1, Math.ceil(bytes / (MAX_MESSAGE_BYTES - HEADER_BYTES))))
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(MAX_MESSAGE_BYTES)
    expect(decodeRpc(parts)).toEqual(message(bytes))
  }
  expect(encodeRpc(message(MAX_PAYLOAD_BYTES)).length).toBe(1 + MAX_FRAGMENTS)
  expect(() => encodeRpc(message(MAX_PAYLOAD_BYTES + 1))).toThrow('does not fit')
})

test('parts that do not belong together are no message', () => {
  const [first, second, third] = encodeRpc(message(600))
  const changed = (part: Uint8Array, at: number, value: number) => part.with(at, value)
  expect(decodeRpc([])).toBeNull()
  expect(decodeRpc([first, second])).toBeNull()
  expect(decodeRpc([first, second, third, third])).toBeNull()
  expect(decodeRpc([second, first, third])).toBeNull()
  expect(decodeRpc([first, second, first])).toBeNull()
  expect(decodeRpc([changed(first, 0, 0x22), second, third])).toBeNull()
  expect(decodeRpc([first, changed(second, 2, 0), third])).toBeNull()
  expect(decodeRpc([first, changed(second, 4, 0), third])).toBeNull()
  expect(decodeRpc([first.subarray(0, 7), second, third])).toBeNull()
  expect(decodeRpc([new Uint8Array([...first, 0]), second, third])).toBeNull()
})

test('random bytes are null or a message, never an exception', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 260 }),
    fc.uint8Array({ maxLength: 240 }).map((rest) => new Uint8Array([0x21, ...rest])),
  )
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), (parts) => {
      const decoded = decodeRpc(parts)
      if (decoded) expect(decodeRpc(encodeRpc(decoded))).toEqual(decoded)
    }),
  )
})
