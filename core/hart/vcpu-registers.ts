// Access to a vCPU's registers and exit words from TypeScript, without BigInt on the exit paths.

import { VCPU_BLOCK_SIZE, Vcpu } from '../engine/vcpu-block.ts'

const WORD = 4294967296

/** Typed access to one vCPU block; only valid for the thread that owns the registers at the time. */
export class VcpuRegisters {
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly view: DataView

  constructor(buffer: SharedArrayBuffer, block: number) {
    this.#i32 = new Int32Array(buffer, block, VCPU_BLOCK_SIZE >> 2)
    this.#f64 = new Float64Array(buffer, block, VCPU_BLOCK_SIZE >> 3)
    this.view = new DataView(buffer, block, VCPU_BLOCK_SIZE)
  }

  /** The 32-bit word at a byte offset of the block. */
  word(offset: number): number {
    return this.#i32[offset >> 2]
  }

  setWord(offset: number, value: number): void {
    this.#i32[offset >> 2] = value
  }

  /** Zeroes bytes [from, to) of the block. */
  clear(from: number, to: number): void {
    this.#i32.fill(0, from >> 2, to >> 2)
  }

  /** An unsigned 64-bit value as a number; exact below 2^53 (addresses, sizes, SBI ids). */
  number(offset: number): number {
    return (this.#i32[(offset >> 2) + 1] >>> 0) * WORD + (this.#i32[offset >> 2] >>> 0)
  }

  /** Stores a number: integers below 2^53, and negative ones in two's complement. */
  setNumber(offset: number, value: number): void {
    this.#i32[offset >> 2] = value | 0
    this.#i32[(offset >> 2) + 1] = Math.floor(value / WORD) | 0
  }

  setPair(offset: number, low: number, high: number): void {
    this.#i32[offset >> 2] = low
    this.#i32[(offset >> 2) + 1] = high
  }

  /** xN as an unsigned number (see `number`). */
  x(n: number): number {
    return this.number(Vcpu.X + 8 * n)
  }

  setX(n: number, value: number): void {
    if (n !== 0) this.setNumber(Vcpu.X + 8 * n, value)
  }

  setXPair(n: number, low: number, high: number): void {
    if (n !== 0) this.setPair(Vcpu.X + 8 * n, low, high)
  }

  xLow(n: number): number {
    return this.#i32[(Vcpu.X + 8 * n) >> 2]
  }

  xHigh(n: number): number {
    return this.#i32[(Vcpu.X + 8 * n + 4) >> 2]
  }

  /** Moves pc past an instruction of `bytes` bytes. */
  advancePc(bytes: number): void {
    const low = (this.#i32[Vcpu.PC >> 2] >>> 0) + bytes
    this.#i32[Vcpu.PC >> 2] = low | 0
    if (low >= WORD) this.#i32[(Vcpu.PC >> 2) + 1]++
  }

  float(offset: number): number {
    return this.#f64[offset >> 3]
  }

  setFloat(offset: number, value: number): void {
    this.#f64[offset >> 3] = value
  }

  addFloat(offset: number, by: number): void {
    this.#f64[offset >> 3] += by
  }
}
