// Trace rings: fixed-size records, one single-writer ring per thread in shared memory, overflow drops the oldest.
//
// Record (64 bytes): u32 mark = sequence + 1 (0 while being written), u16 event, u16 vcpu, f64 time in microseconds
// since the machine's epoch, then six f64 fields whose meaning the event's row in events.ts gives.

export const TRACE_FIELDS = 6
const RECORD_BYTES = 64
const HEADER_BYTES = 64

export interface TraceRecord {
  readonly sequence: number
  readonly event: number
  readonly thread: number
  /** Microseconds since the machine's epoch. */
  readonly time: number
  readonly fields: readonly number[]
}

/** Bytes a ring of `records` records takes. */
export const traceRingBytes = (records: number): number => HEADER_BYTES + records * RECORD_BYTES

/** A view of one ring; the thread that owns it writes, anyone reads. */
export class TraceRing {
  readonly #words: Uint32Array
  readonly #floats: Float64Array
  readonly #records: number

  /** `records` is a power of two; `offset` is 64-byte aligned. */
  constructor(buffer: SharedArrayBuffer, offset: number, records: number) {
    this.#words = new Uint32Array(buffer, offset, traceRingBytes(records) / 4)
    this.#floats = new Float64Array(buffer, offset, traceRingBytes(records) / 8)
    this.#records = records
  }

  /** Records ever written (wraps at 2^32). */
  get head(): number {
    return Atomics.load(this.#words, 0)
  }

  write(event: number, thread: number, time: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): void {
    const sequence = this.#words[0]
    const slot = sequence & (this.#records - 1)
    const word = (HEADER_BYTES + slot * RECORD_BYTES) >> 2
    const float = word >> 1
    Atomics.store(this.#words, word, 0)
    this.#words[word + 1] = event | (thread << 16)
    this.#floats[float + 1] = time
    this.#floats[float + 2] = a
    this.#floats[float + 3] = b
    this.#floats[float + 4] = c
    this.#floats[float + 5] = d
    this.#floats[float + 6] = e
    this.#floats[float + 7] = f
    Atomics.store(this.#words, word, sequence + 1)
    Atomics.store(this.#words, 0, sequence + 1)
  }

  /**
   * Records from `from` on, in order, and where to go on; `lost` counts the ones overwritten before they
   * could be read. A `from` more than 2^31 off is of an earlier life of the ring: nothing, and a new start.
   */
  read(from: number): { records: TraceRecord[]; next: number; lost: number } {
    const head = this.head
    const behind = Math.max(0, (head - from) | 0)
    const kept = Math.min(behind, this.#records)
    let lost = behind - kept
    const records: TraceRecord[] = []
    for (let back = kept; back > 0; back--) {
      const record = this.#at((head - back) >>> 0)
      if (record) records.push(record)
      else lost++
    }
    return { records, next: head, lost }
  }

  /** The record with that sequence number, or null when the writer has overtaken it. */
  #at(sequence: number): TraceRecord | null {
    const word = (HEADER_BYTES + (sequence & (this.#records - 1)) * RECORD_BYTES) >> 2
    const mark = (sequence + 1) >>> 0
    if (mark === 0 || Atomics.load(this.#words, word) !== mark) return null
    const float = word >> 1
    const packed = this.#words[word + 1]
    const time = this.#floats[float + 1]
    const fields = Array.from(this.#floats.subarray(float + 2, float + 2 + TRACE_FIELDS))
    if (Atomics.load(this.#words, word) !== mark) return null
    return { sequence, event: packed & 0xffff, thread: packed >>> 16, time, fields }
  }
}
