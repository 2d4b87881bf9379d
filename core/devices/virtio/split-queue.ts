// A split virtqueue from the device's side: takes requests from the available ring, hands them back by the used ring.
//
// Everything in guest memory is the driver's word. It is checked before it is used, and read once: what changes
// under the device's hands breaks no check already made. Work is bounded: a chain has at most as many descriptors
// as the queue, and a kick at most as many chains.

import type { KernelTask } from '../../host/kernel-task.ts'
import { type Buffer, Chain } from './chain.ts'
import { type DeviceMemory, DriverFault } from './device-memory.ts'
import {
  AVAIL_ENTRY_BYTES,
  AVAIL_NO_INTERRUPT,
  DESCRIPTOR_BYTES,
  DescFlag,
  RING_ENTRIES,
  RING_INDEX,
  USED_ENTRY_BYTES,
} from './registers.ts'

/** Bytes that one chain may describe (2.7.4). */
const MAX_CHAIN_BYTES = 2 ** 32

/** Where the driver put the three parts (GPA), and their alignment. */
interface QueueAddresses {
  descriptors: number
  available: number
  used: number
}

const ALIGNMENTS: QueueAddresses = { descriptors: 16, available: 2, used: 4 }

export class SplitQueue {
  /** The device's limit; 0: there is no such queue. */
  readonly maxSize: number
  /** As the driver set it, a power of two. */
  size: number
  enabled = false
  readonly addresses: QueueAddresses = { descriptors: 0, available: 0, used: 0 }
  readonly #memory: DeviceMemory
  /** Chains taken and handed back, modulo 2^16. */
  #taken = 0
  #returned = 0
  /** Something was handed back since the driver was last told. */
  #news = false

  constructor(memory: DeviceMemory, maxSize: number) {
    this.#memory = memory
    this.maxSize = maxSize
    this.size = maxSize
  }

  reset(): void {
    this.size = this.maxSize
    this.enabled = false
    Object.assign(this.addresses, { descriptors: 0, available: 0, used: 0 })
    this.#taken = 0
    this.#returned = 0
    this.#news = false
  }

  /** The number of requests that wait; of those a device takes so many and no more before it is kicked again. */
  *waiting(): KernelTask<number> {
    for (const part of ['descriptors', 'available', 'used'] as const)
      if (this.addresses[part] % ALIGNMENTS[part] !== 0)
        throw new DriverFault(`the queue's ${part} at 0x${this.addresses[part].toString(16)} are misaligned`)
    const index = yield* this.#memory.read16(this.addresses.available + RING_INDEX)
    const count = (index - this.#taken) & 0xffff
    if (count > this.size)
      throw new DriverFault(`the available ring holds ${count} requests, the queue only ${this.size}`)
    return count
  }

  /** Takes the next request; `waiting` has said that there is one. */
  *take(): KernelTask<Chain> {
    const entry = this.addresses.available + RING_ENTRIES + (this.#taken % this.size) * AVAIL_ENTRY_BYTES
    const head = yield* this.#memory.read16(entry)
    const readable: Buffer[] = []
    const writable: Buffer[] = []
    let bytes = 0
    let index = head
    for (let count = 1; ; count++) {
      if (index >= this.size)
        throw new DriverFault(`descriptor ${index} is named, the queue has ${this.size}`)
      if (count > this.size) throw new DriverFault('a chain of descriptors is a loop')
      const { flags, next, ...buffer } = yield* this.#descriptor(index)
      if (flags & DescFlag.INDIRECT)
        throw new DriverFault(`descriptor ${index} is indirect, which was not negotiated`)
      if (flags & DescFlag.WRITE) writable.push(buffer)
      else if (writable.length > 0)
        throw new DriverFault(`descriptor ${index} is to be read, after one to be written`)
      else readable.push(buffer)
      bytes += buffer.length
      if (bytes > MAX_CHAIN_BYTES) throw new DriverFault(`a chain describes ${bytes} bytes`)
      if (!(flags & DescFlag.NEXT)) break
      index = next
    }
    this.#taken = (this.#taken + 1) & 0xffff
    return new Chain(this.#memory, head, readable, writable)
  }

  /** Hands a request back. `written`: bytes from the start of its writable buffers that now hold the answer. */
  *putBack(chain: Chain, written = chain.written): KernelTask<void> {
    const element = new Uint8Array(USED_ENTRY_BYTES)
    const view = new DataView(element.buffer)
    view.setUint32(0, chain.head, true)
    view.setUint32(4, written, true)
    const { used } = this.addresses
    yield* this.#memory.write(used + RING_ENTRIES + (this.#returned % this.size) * USED_ENTRY_BYTES, element)
    this.#returned = (this.#returned + 1) & 0xffff
    // The index last: who sees it sees the element, and what the request's buffers got.
    yield* this.#memory.write16(used + RING_INDEX, this.#returned)
    this.#news = true
  }

  /** True when the driver is to be interrupted for what was handed back since the last call. */
  *interrupts(): KernelTask<boolean> {
    if (!this.#news) return false
    this.#news = false
    return ((yield* this.#memory.read16(this.addresses.available)) & AVAIL_NO_INTERRUPT) === 0
  }

  *#descriptor(index: number): KernelTask<Buffer & { flags: number; next: number }> {
    const at = this.addresses.descriptors + index * DESCRIPTOR_BYTES
    const bytes = yield* this.#memory.read(at, DESCRIPTOR_BYTES)
    const view = new DataView(bytes.buffer)
    return {
      gpa: view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32,
      length: view.getUint32(8, true),
      flags: view.getUint16(12, true),
      next: view.getUint16(14, true),
    }
  }
}
