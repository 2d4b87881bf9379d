// The devices whose registers the VMM serves: a guest's access exits to it (KVM_EXIT_MMIO), and it asks here.
//
// Registers are at most 32 bits wide. An access of 64 bits is two of 32, the lower first, as on a 32-bit bus.

import type { KernelTask } from '../host/kernel-task.ts'

/** A device, or a bus of them, as the guest's loads and stores reach it. */
export interface MmioDevice {
  /** A load of 1, 2 or 4 bytes at byte `offset`, a multiple of `length`. Returns an unsigned number. */
  load(offset: number, length: number): number
  /** A store; `value` is unsigned and fits `length` bytes. Returns what is left to do for it, or null. */
  store(offset: number, length: number, value: number): KernelTask<void> | null
}

export interface MmioRegion {
  /** First byte (GPA). */
  readonly base: number
  /** Bytes. */
  readonly size: number
  readonly device: MmioDevice
}

/** What a load finds where nobody answers. */
const NOBODY = 0xffffffff

const WORD_BYTES = 4

/** `value` as an unsigned number of `length` bytes. */
const unsigned = (value: number, length: number): number =>
  length === WORD_BYTES ? value >>> 0 : value & ((1 << (8 * length)) - 1)

export class MmioBus {
  readonly #regions: readonly MmioRegion[]

  constructor(regions: readonly MmioRegion[]) {
    this.#regions = regions
  }

  /** A guest's load of 1, 2, 4 or 8 bytes: the two halves of the value. Where nobody answers it reads ones. */
  load(gpa: number, length: number): [low: number, high: number] {
    const low = this.#load(gpa, Math.min(length, WORD_BYTES))
    const high = length > WORD_BYTES ? this.#load(gpa + WORD_BYTES, WORD_BYTES) : 0
    return [low | 0, high | 0]
  }

  /** A guest's store. Where nobody answers it is lost. */
  *store(gpa: number, length: number, low: number, high: number): KernelTask<void> {
    yield* this.#store(gpa, Math.min(length, WORD_BYTES), low)
    if (length > WORD_BYTES) yield* this.#store(gpa + WORD_BYTES, WORD_BYTES, high)
  }

  #load(gpa: number, length: number): number {
    const region = this.#regionAt(gpa)
    return region ? region.device.load(gpa - region.base, length) : unsigned(NOBODY, length)
  }

  *#store(gpa: number, length: number, value: number): KernelTask<void> {
    const region = this.#regionAt(gpa)
    const rest = region?.device.store(gpa - region.base, length, unsigned(value, length))
    if (rest) yield* rest
  }

  #regionAt(gpa: number): MmioRegion | undefined {
    return this.#regions.find(({ base, size }) => gpa >= base && gpa < base + size)
  }
}
