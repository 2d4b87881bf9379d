// A file for overlays that remembers each write, so that a test can cut it off after any of them.

import type { OverlayStorage } from '../overlay-file.ts'

interface Write {
  readonly at: number
  readonly bytes: Uint8Array
}

export class MemoryStorage implements OverlayStorage {
  readonly writes: Write[] = []
  #bytes = new Uint8Array(4096)
  #size = 0

  size(): number {
    return this.#size
  }

  read(at: number, into: Uint8Array): number {
    const bytes = this.#bytes.subarray(at, Math.min(at + into.length, this.#size))
    into.set(bytes)
    return bytes.length
  }

  write(at: number, bytes: Uint8Array): void {
    this.writes.push({ at, bytes: bytes.slice() })
    this.#size = Math.max(this.#size, at + bytes.length)
    if (this.#size > this.#bytes.length) {
      const longer = new Uint8Array(2 * this.#size)
      longer.set(this.#bytes)
      this.#bytes = longer
    }
    this.#bytes.set(bytes, at)
  }

  flush(): void {}

  /** What the file holds when only the first `count` writes reached it. */
  replay(count: number): MemoryStorage {
    const other = new MemoryStorage()
    for (const { at, bytes } of this.writes.slice(0, count)) other.write(at, bytes)
    return other
  }
}
