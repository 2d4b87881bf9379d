// Little-endian fields of the Resource Manager's payloads. Reading past the end makes the reader bad, never throws.

import { HEADER_BYTES, MAX_MESSAGE_BYTES } from './rpc.ts'

export class WireReader {
  readonly #view: DataView
  #at = 0
  #bad = false

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #take(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    if (this.#at <= this.#view.byteLength) return at
    this.#bad = true
    return -1
  }

  u8(): number {
    const at = this.#take(1)
    return at < 0 ? 0 : this.#view.getUint8(at)
  }

  u16(): number {
    const at = this.#take(2)
    return at < 0 ? 0 : this.#view.getUint16(at, true)
  }

  u32(): number {
    const at = this.#take(4)
    return at < 0 ? 0 : this.#view.getUint32(at, true)
  }

  /** Exact below 2^53; larger values stay larger than any address here. */
  u64(): number {
    const low = this.u32()
    return low + this.u32() * 2 ** 32
  }

  /** `count` entries of `bytes` bytes each; none when they cannot all be there. */
  list<T>(count: number, bytes: number, read: () => T): T[] {
    if (this.#at + count * bytes > this.#view.byteLength) this.#bad = true
    return this.#bad ? [] : Array.from({ length: count }, read)
  }

  skip(bytes: number): void {
    this.#take(bytes)
  }

  /** Something is left to read. */
  get more(): boolean {
    return this.#at < this.#view.byteLength
  }

  /** Everything asked for was there, and nothing was left. */
  get complete(): boolean {
    return !this.#bad && this.#at === this.#view.byteLength
  }
}

export class WireWriter {
  #view = new DataView(new ArrayBuffer(MAX_MESSAGE_BYTES - HEADER_BYTES))
  #length = 0

  #room(bytes: number): number {
    const at = this.#length
    this.#length += bytes
    if (this.#length > this.#view.byteLength) {
      const larger = new Uint8Array(2 * this.#length)
      larger.set(new Uint8Array(this.#view.buffer))
      this.#view = new DataView(larger.buffer)
    }
    return at
  }

  u8(value: number): this {
    const at = this.#room(1)
    this.#view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  u32(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  u64(value: number): this {
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32))
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, this.#length)
  }
}
