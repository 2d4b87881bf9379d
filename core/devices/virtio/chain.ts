// One request of a driver: a chain of buffers in guest memory, first those the device reads, then those it writes.
//
// How a driver cuts a request into buffers means nothing (2.7.4.1), so a device sees two streams of bytes.

import type { KernelTask } from '../../host/kernel-task.ts'
import type { DeviceMemory } from './device-memory.ts'

/** A buffer in guest memory. */
export interface Buffer {
  /** First byte (GPA). */
  readonly gpa: number
  /** Bytes. */
  readonly length: number
}

const total = (buffers: readonly Buffer[]): number => buffers.reduce((sum, { length }) => sum + length, 0)

/** A position in a list of buffers. */
class Cursor {
  readonly #buffers: readonly Buffer[]
  #index = 0
  #offset = 0
  /** Bytes behind and before the position. */
  done = 0
  left: number

  constructor(buffers: readonly Buffer[]) {
    this.#buffers = buffers
    this.left = total(buffers)
  }

  /** The next piece of at most `max` bytes that lies in one buffer; null at the end. Goes past it. */
  take(max: number): Buffer | null {
    while (this.#index < this.#buffers.length) {
      const { gpa, length } = this.#buffers[this.#index]
      const count = Math.min(length - this.#offset, max)
      if (count > 0) {
        const piece = { gpa: gpa + this.#offset, length: count }
        this.#offset += count
        this.done += count
        this.left -= count
        return piece
      }
      if (this.#offset < length) return null
      this.#index++
      this.#offset = 0
    }
    return null
  }
}

/** A request under way. The methods throw GuestMemoryFault. */
export class Chain {
  /** The index of its first descriptor, by which the driver knows it. */
  readonly head: number
  /** The buffers that the device writes, for those who only want to know where they are. */
  readonly writable: readonly Buffer[]
  readonly #memory: DeviceMemory
  readonly #in: Cursor
  readonly #out: Cursor

  constructor(memory: DeviceMemory, head: number, readable: readonly Buffer[], writable: readonly Buffer[]) {
    this.head = head
    this.writable = writable
    this.#memory = memory
    this.#in = new Cursor(readable)
    this.#out = new Cursor(writable)
  }

  /** Bytes that the device has not read yet. */
  get readableBytes(): number {
    return this.#in.left
  }

  /** Bytes that the device could still write. */
  get writableBytes(): number {
    return this.#out.left
  }

  /** Bytes that the device has written: what the driver is told. */
  get written(): number {
    return this.#out.done
  }

  /** The next bytes, as many as `length` or as there are. */
  *read(length: number): KernelTask<Uint8Array> {
    const bytes = new Uint8Array(Math.min(length, this.#in.left))
    for (let done = 0; done < bytes.length; ) {
      const piece = this.#in.take(bytes.length - done)
      if (!piece) break
      bytes.set(yield* this.#memory.read(piece.gpa, piece.length), done)
      done += piece.length
    }
    return bytes
  }

  /** Writes the next bytes, as many as fit; returns that count. */
  *write(bytes: Uint8Array): KernelTask<number> {
    let done = 0
    for (let piece = this.#out.take(bytes.length); piece; piece = this.#out.take(bytes.length - done)) {
      yield* this.#memory.write(piece.gpa, bytes.subarray(done, done + piece.length))
      done += piece.length
    }
    return done
  }

  /** Writes the very last of the bytes that the device may write: there must be one. */
  *writeLast(byte: number): KernelTask<void> {
    const { gpa, length } = this.writable.findLast((buffer) => buffer.length > 0) ?? { gpa: 0, length: 0 }
    yield* this.#memory.write(gpa + length - 1, Uint8Array.of(byte))
    // The driver is told of it where nothing before it was left out.
    if (this.#out.left === 1) this.#out.take(1)
  }
}
