// A queue of bytes in shared memory between one producer and one consumer thread, without a lock.
//
// Layout from the base: word 0 bytes ever written (mod 2^32, producer), word at +64 bytes ever read (consumer;
// a cache line of its own), data from +128. The counters' difference is the fill, so a full ring is not an
// empty one and no slot is wasted. The counter is stored after the bytes: who sees it sees them.

const READ_WORD = 16
const DATA = 128

/** Bytes of shared memory that a ring of `capacity` bytes takes. */
export const byteRingSize = (capacity: number): number => DATA + capacity

/** One end of the ring; each thread makes its own over the same bytes. Zeroed memory is an empty ring. */
export class ByteRing {
  readonly capacity: number
  readonly #words: Int32Array
  readonly #bytes: Uint8Array

  /** `capacity` is a power of two (RangeError otherwise); `base` a multiple of 4, of 64 for speed. */
  constructor(buffer: SharedArrayBuffer, base: number, capacity: number) {
    if (capacity <= 0 || capacity > 0x40000000 || (capacity & (capacity - 1)) !== 0)
      throw new RangeError(`ring capacity ${capacity} is not a power of two`)
    this.capacity = capacity
    this.#words = new Int32Array(buffer, base, DATA / 4)
    this.#bytes = new Uint8Array(buffer, base + DATA, capacity)
  }

  /** Bytes waiting: never too many for the consumer's eyes, never too few for the producer's. */
  get length(): number {
    // The read counter first: it can only fall behind, so an onlooker's difference is never negative.
    const read = Atomics.load(this.#words, READ_WORD)
    return Math.min((Atomics.load(this.#words, 0) - read) >>> 0, this.capacity)
  }

  /** Bytes that fit now. Never too high for a producer. */
  get free(): number {
    return this.capacity - this.length
  }

  /** Producer: appends one byte; false when full. */
  push(byte: number): boolean {
    const written = Atomics.load(this.#words, 0)
    if ((written - Atomics.load(this.#words, READ_WORD)) >>> 0 === this.capacity) return false
    this.#bytes[written & (this.capacity - 1)] = byte
    Atomics.store(this.#words, 0, (written + 1) | 0)
    return true
  }

  /** Producer: appends as many of `bytes` as fit and returns that count. */
  pushAll(bytes: Uint8Array): number {
    const written = Atomics.load(this.#words, 0)
    const count = Math.min(bytes.length, this.free)
    const at = written & (this.capacity - 1)
    const first = Math.min(count, this.capacity - at)
    this.#bytes.set(bytes.subarray(0, first), at)
    this.#bytes.set(bytes.subarray(first, count), 0)
    Atomics.store(this.#words, 0, (written + count) | 0)
    return count
  }

  /** Consumer: takes one byte; -1 when empty. */
  pop(): number {
    const read = Atomics.load(this.#words, READ_WORD)
    if (Atomics.load(this.#words, 0) === read) return -1
    const byte = this.#bytes[read & (this.capacity - 1)]
    Atomics.store(this.#words, READ_WORD, (read + 1) | 0)
    return byte
  }

  /** Consumer: takes up to `max` bytes as a copy outside shared memory (TextDecoder refuses shared views). */
  drain(max: number): Uint8Array<ArrayBuffer> {
    const read = Atomics.load(this.#words, READ_WORD)
    const count = Math.min(max, this.length)
    const out = new Uint8Array(count)
    // Taking nothing stores nothing: an onlooker may ask for 0 bytes while the consumer takes some.
    if (count === 0) return out
    const at = read & (this.capacity - 1)
    const first = Math.min(count, this.capacity - at)
    out.set(this.#bytes.subarray(at, at + first), 0)
    out.set(this.#bytes.subarray(0, count - first), first)
    Atomics.store(this.#words, READ_WORD, (read + count) | 0)
    return out
  }

  /** Consumer: throws away up to `max` bytes. */
  discard(max: number): void {
    const count = Math.min(max, this.length)
    Atomics.add(this.#words, READ_WORD, count)
  }

  /** Empties the ring; only while neither end is in use. */
  reset(): void {
    Atomics.store(this.#words, 0, 0)
    Atomics.store(this.#words, READ_WORD, 0)
  }
}
