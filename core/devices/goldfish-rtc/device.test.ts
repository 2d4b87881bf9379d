// The goldfish clock: time in two halves that belong together, and an alarm that rings once.
import { beforeEach, expect, it } from 'vitest'
import { GoldfishRtc } from './device.ts'
import { RtcReg } from './registers.ts'

let now: number
let levels: boolean[]
let rtc: GoldfishRtc

beforeEach(() => {
  now = 1_796_000_000_123
  levels = []
  rtc = new GoldfishRtc(
    () => now,
    (level) => levels.push(level),
  )
})

const time = (): bigint => {
  const low = BigInt(rtc.load(RtcReg.TIME_LOW, 4))
  return (BigInt(rtc.load(RtcReg.TIME_HIGH, 4)) << 32n) | low
}

const set = (register: number, ns: bigint): void => {
  rtc.store(register + 4, 4, Number(ns >> 32n))
  rtc.store(register, 4, Number(ns & 0xffffffffn))
}

it('tells the time in nanoseconds; the high half is that of the low half read before', () => {
  expect(time()).toBe(BigInt(now) * 1_000_000n)
  const high = rtc.load(RtcReg.TIME_HIGH, 4)
  now += 10_000
  expect(rtc.load(RtcReg.TIME_HIGH, 4)).toBe(high)
})

it('can be set, and goes on from there', () => {
  set(RtcReg.TIME_LOW, 5_000_000_000_000n)
  now += 2
  expect(time()).toBe(5_000_002_000_000n)
  // The last moment that fits, and past it.
  set(RtcReg.TIME_LOW, 2n ** 64n - 1n)
  now += 1
  expect(time()).toBe(999_999n)
})

it('rings once when the alarm is due, until it is cleared', () => {
  rtc.store(RtcReg.IRQ_ENABLED, 4, 1)
  set(RtcReg.ALARM_LOW, BigInt(now + 500) * 1_000_000n)
  expect([rtc.load(RtcReg.ALARM_STATUS, 4), rtc.dueInMs]).toEqual([1, 500])
  rtc.tick()
  expect(levels.at(-1)).toBe(false)
  now += 500
  rtc.tick()
  expect([levels.at(-1), rtc.load(RtcReg.ALARM_STATUS, 4)]).toEqual([true, 0])
  expect(rtc.dueInMs).toBe(Number.POSITIVE_INFINITY)
  rtc.store(RtcReg.CLEAR_INTERRUPT, 4, 1)
  expect(levels.at(-1)).toBe(false)
})

it('rings at once for an alarm in the past, never for one that was cleared or is not enabled', () => {
  set(RtcReg.ALARM_LOW, BigInt(now - 1) * 1_000_000n)
  expect(levels).toEqual([false])
  rtc.store(RtcReg.IRQ_ENABLED, 4, 1)
  expect(levels.at(-1)).toBe(true)
  rtc.store(RtcReg.CLEAR_INTERRUPT, 4, 1)
  set(RtcReg.ALARM_LOW, BigInt(now + 1) * 1_000_000n)
  rtc.store(RtcReg.CLEAR_ALARM, 4, 1)
  now += 1
  rtc.tick()
  expect(levels.at(-1)).toBe(false)
})

it('answers 0 to other widths and registers, and ignores such stores', () => {
  rtc.store(RtcReg.IRQ_ENABLED, 1, 1)
  rtc.store(0x100, 4, 1)
  expect([rtc.load(RtcReg.IRQ_ENABLED, 4), rtc.load(RtcReg.TIME_LOW, 2), rtc.load(0x100, 4)]).toEqual([
    0, 0, 0,
  ])
})
