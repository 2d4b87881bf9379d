// A growing byte buffer with WebAssembly's encodings.

/** Writes WebAssembly binary pieces one after another. */
export class ByteWriter {
  #bytes = new Uint8Array(256)
  #length = 0

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** A copy of what was written. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length)
  }

  u8(byte: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = byte
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0
    for (; rest >= 0x80; rest >>>= 7) this.u8((rest & 0x7f) | 0x80)
    this.u8(rest)
  }

  /** Signed LEB128 of a 32-bit number. */
  s32(value: number): void {
    let rest = value | 0
    for (;;) {
      const byte = rest & 0x7f
      rest >>= 7
      const last = rest === (byte & 0x40 ? -1 : 0)
      this.u8(last ? byte : byte | 0x80)
      if (last) return
    }
  }

  /** Signed LEB128 of a 64-bit integer. */
  s64(value: bigint): void {
    let rest = BigInt.asIntN(64, value)
    for (;;) {
      const byte = Number(rest & 0x7fn)
      rest >>= 7n
      const last = rest === (byte & 0x40 ? -1n : 0n)
      this.u8(last ? byte : byte | 0x80)
      if (last) return
    }
  }

  /** A name: its length, then ASCII. */
  name(text: string): void {
    this.u32(text.length)
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i))
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}
