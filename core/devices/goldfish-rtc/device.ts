// The goldfish real-time clock: what the guest takes its wall-clock time from, with one alarm.
//
// A write to the time moves this clock only; the host's stays.

import type { MmioDevice } from '../mmio-bus.ts'
import { RtcReg } from './registers.ts'

const NS_PER_MS = 1_000_000n
const LOW = 0xffffffffn

const join = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low)

export class GoldfishRtc implements MmioDevice {
  readonly #nowMs: () => number
  readonly #setLevel: (level: boolean) => void
  /** Nanoseconds that the guest's clock is ahead of the host's. */
  #ahead = 0n
  #timeHigh = 0
  #alarm = 0n
  #alarmHigh = 0
  #armed = false
  #pending = false
  #enabled = false

  /** `nowMs`: milliseconds since 1970. `setLevel` drives the interrupt line. */
  constructor(nowMs: () => number, setLevel: (level: boolean) => void) {
    this.#nowMs = nowMs
    this.#setLevel = setLevel
  }

  /** Milliseconds until the alarm; Infinity when none is set. */
  get dueInMs(): number {
    return this.#armed ? Math.max(0, Number((this.#alarm - this.#now) / NS_PER_MS)) : Number.POSITIVE_INFINITY
  }

  /** Rings when the alarm is due; to be called now and then. */
  tick(): void {
    if (!this.#armed || this.#alarm > this.#now) return
    this.#armed = false
    this.#pending = true
    this.#drive()
  }

  load(offset: number, length: number): number {
    if (length !== 4) return 0
    switch (offset) {
      case RtcReg.TIME_LOW: {
        const now = this.#now
        this.#timeHigh = Number(now >> 32n)
        return Number(now & LOW)
      }
      case RtcReg.TIME_HIGH:
        return this.#timeHigh
      case RtcReg.ALARM_LOW:
        return Number(this.#alarm & LOW)
      case RtcReg.ALARM_HIGH:
        return Number(this.#alarm >> 32n)
      case RtcReg.IRQ_ENABLED:
        return this.#enabled ? 1 : 0
      case RtcReg.ALARM_STATUS:
        return this.#armed ? 1 : 0
      default:
        return 0
    }
  }

  store(offset: number, length: number, value: number): null {
    if (length === 4) this.#store(offset, value)
    return null
  }

  #store(offset: number, value: number): void {
    switch (offset) {
      case RtcReg.TIME_LOW:
        this.#ahead += join(this.#timeHigh, value) - this.#now
        break
      case RtcReg.TIME_HIGH:
        this.#timeHigh = value
        break
      case RtcReg.ALARM_LOW:
        this.#alarm = join(this.#alarmHigh, value)
        this.#armed = true
        this.tick()
        break
      case RtcReg.ALARM_HIGH:
        this.#alarmHigh = value
        break
      case RtcReg.IRQ_ENABLED:
        this.#enabled = (value & 1) !== 0
        this.#drive()
        break
      case RtcReg.CLEAR_ALARM:
        this.#armed = false
        break
      case RtcReg.CLEAR_INTERRUPT:
        this.#pending = false
        this.#drive()
        break
      // The alarm's status is read-only.
    }
  }

  get #now(): bigint {
    return BigInt.asUintN(64, BigInt(Math.floor(this.#nowMs())) * NS_PER_MS + this.#ahead)
  }

  #drive(): void {
    this.#setLevel(this.#pending && this.#enabled)
  }
}
