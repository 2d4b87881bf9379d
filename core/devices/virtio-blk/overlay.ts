// Copy on write: a disk that is an image nobody changes, and an overlay of the blocks that were written.

import type { BlockBackend } from './backend.ts'
import { SECTOR } from './registers.ts'

/** Bytes of the unit that is copied. */
export const BLOCK_BYTES = 4096

/** The blocks that differ from the image. Buffers are of BLOCK_BYTES. */
export interface Overlay {
  /** Reads a block, or returns false: it was never written. */
  read(block: number, into: Uint8Array): boolean
  write(block: number, bytes: Uint8Array): void
  /** Returns when everything written is kept. */
  flush(): void
}

/** Blocks kept as long as the machine. */
export class MemoryOverlay implements Overlay {
  readonly #blocks = new Map<number, Uint8Array>()

  read(block: number, into: Uint8Array): boolean {
    const bytes = this.#blocks.get(block)
    if (bytes) into.set(bytes)
    return bytes !== undefined
  }

  write(block: number, bytes: Uint8Array): void {
    this.#blocks.set(block, bytes.slice())
  }

  flush(): void {}
}

export class OverlayDisk implements BlockBackend {
  readonly size: number
  readonly #image: Uint8Array
  readonly #overlay: Overlay
  readonly #block = new Uint8Array(BLOCK_BYTES)

  /** The image ends with zeroes up to a whole sector. */
  constructor(image: Uint8Array, overlay: Overlay) {
    this.#image = image
    this.#overlay = overlay
    this.size = Math.ceil(image.length / SECTOR) * SECTOR
  }

  read(offset: number, into: Uint8Array): void {
    this.#forEachBlock(offset, into.length, (block, start, at, count) => {
      this.#load(block)
      into.set(this.#block.subarray(start, start + count), at)
    })
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#forEachBlock(offset, bytes.length, (block, start, at, count) => {
      if (count < BLOCK_BYTES) this.#load(block)
      this.#block.set(bytes.subarray(at, at + count), start)
      this.#overlay.write(block, this.#block)
    })
  }

  flush(): void {
    this.#overlay.flush()
  }

  /** The block as it is now, into `#block`. */
  #load(block: number): void {
    if (this.#overlay.read(block, this.#block)) return
    const bytes = this.#image.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
    this.#block.set(bytes)
    this.#block.fill(0, bytes.length)
  }

  /** Visits the parts of a range block by block: where each starts in its block and in the range. */
  #forEachBlock(
    offset: number,
    length: number,
    visit: (block: number, start: number, at: number, count: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const start = (offset + at) % BLOCK_BYTES
      const count = Math.min(length - at, BLOCK_BYTES - start)
      visit((offset + at - start) / BLOCK_BYTES, start, at, count)
      at += count
    }
  }
}
