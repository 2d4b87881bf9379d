// HostMemory: the emulated host's physical memory, one shared WebAssembly.Memory, and the tables inside it.
//
// The hypervisor worker creates it; every other thread attaches to the same memory and computes the same layout.

import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { TraceRing, traceRingBytes } from '../trace/ring.ts'
import { FolioTable } from './folio-table.ts'
import {
  Header,
  HOST_LAYOUT_VERSION,
  HOST_MAGIC,
  type HostLayout,
  HYPERVISOR_RING_RECORDS,
  hostLayout,
  TRACE_RING_HEADER_BYTES,
  TRACE_RINGS,
  VCPU_RING_RECORDS,
} from './layout.ts'
import { ParcelTable } from './parcel-table.ts'
import { MachineTables } from './tables.ts'

const WASM_PAGE = 0x10000
const MIB = 0x100000
/** Smallest host that holds its own tables and leaves room for a guest. */
const MIN_HOST_BYTES = 64 * MIB
/** What a freed frame is filled with when poisoning is on. */
export const FREE_POISON = 0xa5

/** The engine did not give a shared memory of that size. */
export class HostMemoryRefused extends Error {
  /** Bytes asked for. */
  readonly bytes: number
  /** A smaller size worth trying, or null when the size asked was already the smallest. */
  readonly proposal: number | null

  constructor(bytes: number, cause: unknown) {
    const proposal = bytes > MIN_HOST_BYTES ? Math.max(MIN_HOST_BYTES, align(bytes / 2)) : null
    const remedy = proposal ? `try ${proposal / MIB} MiB` : 'close other tabs or programs'
    super(`the engine refused ${bytes / MIB} MiB of shared memory: ${remedy}`, { cause })
    this.name = 'HostMemoryRefused'
    this.bytes = bytes
    this.proposal = proposal
  }
}

const align = (bytes: number): number => Math.ceil(bytes / WASM_PAGE) * WASM_PAGE

export class HostMemory {
  readonly memory: WebAssembly.Memory
  readonly buffer: SharedArrayBuffer
  readonly layout: HostLayout
  readonly folios: FolioTable
  readonly tables: MachineTables
  readonly parcels: ParcelTable
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly #u64: BigUint64Array

  private constructor(memory: WebAssembly.Memory) {
    this.memory = memory
    this.buffer = memory.buffer
    this.layout = hostLayout(this.buffer.byteLength)
    this.folios = new FolioTable(this.buffer, this.layout)
    this.tables = new MachineTables(this.buffer, this.layout)
    this.parcels = new ParcelTable(this.buffer, this.layout)
    this.u8 = new Uint8Array(this.buffer)
    this.u16 = new Uint16Array(this.buffer)
    this.i32 = new Int32Array(this.buffer)
    this.u32 = new Uint32Array(this.buffer)
    this.f64 = new Float64Array(this.buffer)
    this.#u64 = new BigUint64Array(this.buffer)
  }

  /** A new host of `bytes` bytes (rounded up to 64 KiB). Throws HostMemoryRefused. */
  static create(bytes: number): HostMemory {
    const size = align(Math.max(bytes, MIN_HOST_BYTES))
    let memory: WebAssembly.Memory
    try {
      const pages = size / WASM_PAGE
      memory = new WebAssembly.Memory({ shared: true, initial: pages, maximum: pages })
    } catch (cause) {
      throw new HostMemoryRefused(size, cause)
    }
    const host = new HostMemory(memory)
    host.reset()
    return host
  }

  /** Attaches another thread to a host's memory. Throws when it is none, or of another layout version. */
  static attach(memory: WebAssembly.Memory): HostMemory {
    const header = new Int32Array(memory.buffer, 0, 16)
    if (header[Header.MAGIC] !== HOST_MAGIC) throw new Error('not a host memory: magic is missing')
    const version = header[Header.VERSION]
    if (version !== HOST_LAYOUT_VERSION)
      throw new Error(`host memory has layout version ${version}, this program ${HOST_LAYOUT_VERSION}`)
    if (header[Header.FRAMES] !== memory.buffer.byteLength / PAGE_SIZE)
      throw new Error(`host memory's header names ${header[Header.FRAMES]} frames, its size says otherwise`)
    return new HostMemory(memory)
  }

  /** Clears header and tables (power-on state). Frames keep their bytes: whoever takes one zeroes it. */
  reset(): void {
    this.u8.fill(0, 0, this.layout.traces)
    // Of the rings only the heads: a reader takes no record from beyond one.
    for (let thread = 0; thread < TRACE_RINGS; thread++) {
      const offset = this.#ringOffset(thread)
      this.u8.fill(0, offset, offset + TRACE_RING_HEADER_BYTES)
    }
    this.u8.fill(0, this.layout.devices, this.layout.firstFrame * PAGE_SIZE)
    this.i32[Header.MAGIC] = HOST_MAGIC
    this.i32[Header.VERSION] = HOST_LAYOUT_VERSION
    this.i32[Header.FRAMES] = this.layout.frames
  }

  /** Trace ring of a thread: 0 is the hypervisor worker, 1 + n is vCPU n. */
  traceRing(thread: number): TraceRing {
    const records = thread === 0 ? HYPERVISOR_RING_RECORDS : VCPU_RING_RECORDS
    return new TraceRing(this.buffer, this.#ringOffset(thread), records)
  }

  #ringOffset(thread: number): number {
    if (thread === 0) return this.layout.traces
    return (
      this.layout.traces +
      traceRingBytes(HYPERVISOR_RING_RECORDS) +
      (thread - 1) * traceRingBytes(VCPU_RING_RECORDS)
    )
  }

  zeroFrame(pfn: Pfn): void {
    this.f64.fill(0, (pfn * PAGE_SIZE) / 8, (pfn * PAGE_SIZE + PAGE_SIZE) / 8)
  }

  poisonFrame(pfn: Pfn): void {
    this.u8.fill(FREE_POISON, pfn * PAGE_SIZE, pfn * PAGE_SIZE + PAGE_SIZE)
  }

  /** The bytes of a frame; a view, not a copy. */
  frame(pfn: Pfn): Uint8Array {
    return this.u8.subarray(pfn * PAGE_SIZE, pfn * PAGE_SIZE + PAGE_SIZE)
  }

  /**
   * Stores a page-table entry (below 2^54) at byte `address` as one atomic 64-bit store, so a walker in another
   * thread sees the old entry or the new one. The one use of BigInt at run time: two 32-bit stores would tear.
   */
  storeEntry(address: number, entry: number): void {
    Atomics.store(this.#u64, address / 8, BigInt(entry))
  }

  /** Reads an entry that only this thread writes. */
  loadEntry(address: number): number {
    return this.u32[address / 4] + this.u32[address / 4 + 1] * 0x1_0000_0000
  }

  /** Tells readers of the shared tables that something changed. */
  bumpGeneration(): void {
    Atomics.add(this.i32, Header.GENERATION, 1)
  }
}
