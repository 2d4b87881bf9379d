import { expect, test } from 'vitest'
import { TraceRing, traceRingBytes } from './ring.ts'

const RECORDS = 8

const ring = () => {
  const buffer = new SharedArrayBuffer(traceRingBytes(RECORDS))
  return { buffer, ring: new TraceRing(buffer, 0, RECORDS) }
}

test('records come back in order, each once', () => {
  const { ring: at } = ring()
  for (let i = 0; i < 5; i++) at.write(3, 1, i, 10 * i)
  const first = at.read(0)
  expect(first).toMatchObject({ next: 5, lost: 0 })
  expect(first.records[4]).toEqual({ sequence: 4, event: 3, thread: 1, time: 4, fields: [40, 0, 0, 0, 0, 0] })
  at.write(3, 1, 5)
  expect(at.read(first.next).records.map(({ sequence }) => sequence)).toEqual([5])
})

test('overflow drops the oldest and counts them', () => {
  const { ring: at } = ring()
  for (let i = 0; i < RECORDS + 3; i++) at.write(0, 0, i)
  const { records, lost } = at.read(1)
  expect(lost).toBe(2)
  expect(records.map(({ sequence }) => sequence)).toEqual([3, 4, 5, 6, 7, 8, 9, 10])
})

test('the sequence wraps after 2^32 records and reading goes on', () => {
  const { buffer, ring: at } = ring()
  const words = new Uint32Array(buffer)
  words[0] = 2 ** 32 - 3
  const from = at.head
  for (let i = 0; i < 6; i++) at.write(0, 0, i)
  const { records, next, lost } = at.read(from)
  // The record whose mark would be 0, "being written", cannot be told from one: it is given up.
  expect(records.map(({ time }) => time)).toEqual([0, 1, 3, 4, 5])
  expect([next, lost]).toEqual([3, 1])
})

test('a reader from before a reset starts over', () => {
  const { ring: at } = ring()
  at.write(0, 0, 1)
  expect(at.read(1000)).toEqual({ records: [], next: 1, lost: 0 })
})
