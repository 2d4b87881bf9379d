// An overlay in a file, to outlive its machine: a header, then groups of an index and the blocks it names.
//
//   0       header: magic, version, block size, image size, identity of the image
//   4096    group 0: index (1024 entries of 4 bytes), then 1024 blocks
//   ...     group 1, ...
//
// An entry is the block's number + 1; 0 is a slot not used yet. A block gets the next slot when it is first written
// and is rewritten in its place. The bytes go before the entry, so a block that a crash cut off is as if never
// written; as on any disk, only a flush makes sure.

import { BLOCK_BYTES, type Overlay } from './overlay.ts'

/** A file that the platform opened for this overlay alone. What fails throws. */
export interface OverlayStorage {
  /** Bytes. */
  size(): number
  /** Reads up to the end of the file; returns how many bytes that were. */
  read(at: number, into: Uint8Array): number
  /** Writes, making the file longer where necessary. */
  write(at: number, bytes: Uint8Array): void
  flush(): void
}

/** The file is an overlay of something else, or none. */
export class OverlayMismatch extends Error {}

const MAGIC = 0x4c564f47 // "GOVL"
const VERSION = 1
const HEADER_BYTES = BLOCK_BYTES
const ENTRY_BYTES = 4
const ENTRIES = BLOCK_BYTES / ENTRY_BYTES
const GROUP_BYTES = (1 + ENTRIES) * BLOCK_BYTES
const IDENTITY = 24
const IDENTITY_BYTES = 32

/** Byte position of a slot's group. */
const groupAt = (slot: number): number => HEADER_BYTES + Math.floor(slot / ENTRIES) * GROUP_BYTES
const entryAt = (slot: number): number => groupAt(slot) + ENTRY_BYTES * (slot % ENTRIES)
const blockAt = (slot: number): number => groupAt(slot) + (1 + (slot % ENTRIES)) * BLOCK_BYTES

const makeHeader = (imageBytes: number, identity: Uint8Array): Uint8Array => {
  const header = new Uint8Array(IDENTITY + IDENTITY_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, VERSION, true)
  view.setUint32(8, BLOCK_BYTES, true)
  view.setFloat64(16, imageBytes, true)
  header.set(identity.subarray(0, IDENTITY_BYTES), IDENTITY)
  return header
}

export class FileOverlay implements Overlay {
  readonly #storage: OverlayStorage
  /** Block number -> slot. */
  readonly #slots = new Map<number, number>()
  #nextSlot = 0

  /**
   * `identity`: the SHA-256 of the image, `imageBytes` its size. An empty file becomes an overlay. Throws
   * OverlayMismatch when the file holds anything but an overlay of this image.
   */
  constructor(storage: OverlayStorage, imageBytes: number, identity: Uint8Array) {
    this.#storage = storage
    const wanted = makeHeader(imageBytes, identity)
    const found = new Uint8Array(wanted.length)
    const count = storage.read(0, found)
    if (count === 0) storage.write(0, wanted)
    else if (!found.every((byte, i) => byte === wanted[i]))
      throw new OverlayMismatch('the file is no overlay of this image, or was made by another version')
    this.#readIndex(Math.ceil(imageBytes / BLOCK_BYTES))
  }

  read(block: number, into: Uint8Array): boolean {
    const slot = this.#slots.get(block)
    if (slot === undefined) return false
    const count = this.#storage.read(blockAt(slot), into)
    if (count !== BLOCK_BYTES) throw new Error(`the overlay ends within block ${block}`)
    return true
  }

  write(block: number, bytes: Uint8Array): void {
    const slot = this.#slots.get(block)
    if (slot !== undefined) {
      this.#storage.write(blockAt(slot), bytes)
      return
    }
    const fresh = this.#nextSlot
    // What was the end of the file may hold anything after a crash: an index begins as zeroes.
    if (fresh % ENTRIES === 0) this.#storage.write(groupAt(fresh), new Uint8Array(BLOCK_BYTES))
    this.#storage.write(blockAt(fresh), bytes)
    const entry = new Uint8Array(ENTRY_BYTES)
    new DataView(entry.buffer).setUint32(0, block + 1, true)
    this.#storage.write(entryAt(fresh), entry)
    this.#slots.set(block, fresh)
    this.#nextSlot++
  }

  flush(): void {
    this.#storage.flush()
  }

  /** Takes over the blocks that the file has; slots end at the first one that is empty, or makes no sense. */
  #readIndex(blocks: number): void {
    const index = new Uint8Array(BLOCK_BYTES)
    const view = new DataView(index.buffer)
    const end = this.#storage.size()
    for (let slot = 0; ; slot++) {
      if (slot % ENTRIES === 0) {
        index.fill(0)
        this.#storage.read(groupAt(slot), index)
      }
      const block = view.getUint32(ENTRY_BYTES * (slot % ENTRIES), true) - 1
      const whole = blockAt(slot) + BLOCK_BYTES <= end
      if (block < 0) return
      if (block >= blocks || this.#slots.has(block) || !whole) {
        // What a crash left behind must not come back as entries of slots that are used later.
        const rest = ENTRY_BYTES * (ENTRIES - (slot % ENTRIES))
        this.#storage.write(entryAt(slot), new Uint8Array(rest))
        return
      }
      this.#slots.set(block, slot)
      this.#nextSlot = slot + 1
    }
  }
}
