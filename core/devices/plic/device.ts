// The interrupt controller: gateways, priorities, claim and complete for up to 31 level-triggered sources, in
// shared memory so that any worker may raise a line or access a register.

import { DeviceLock } from '../lock.ts'
import {
  PLIC_MAX_HARTS,
  PLIC_SHARED_SIZE,
  PLIC_SOURCES,
  PlicReg,
  PlicWord,
  PRIORITY_MASK,
} from './registers.ts'

/** One worker's view; every worker makes its own over the same `PLIC_SHARED_SIZE` bytes (zeroed = reset). */
export class Plic {
  readonly #words: Int32Array
  readonly #lock: DeviceLock
  readonly #harts: number
  readonly #setExternal: (hart: number, level: boolean) => void

  /**
   * `base`: byte offset in `buffer`. `setExternal` is told each change of a hart's external interrupt, in
   * order, under the device's lock: it must neither block nor call back into a device.
   */
  constructor(
    buffer: SharedArrayBuffer,
    base: number,
    harts: number,
    setExternal: (hart: number, level: boolean) => void,
  ) {
    if (harts < 1 || harts > PLIC_MAX_HARTS) throw new RangeError(`PLIC for ${harts} harts`)
    this.#words = new Int32Array(buffer, base, PLIC_SHARED_SIZE / 4)
    this.#lock = new DeviceLock(this.#words, PlicWord.LOCK)
    this.#harts = harts
    this.#setExternal = setExternal
  }

  /** Power-on state, all outputs low. Only while no thread uses the device. */
  reset(): void {
    const output = this.#words[PlicWord.OUTPUT]
    this.#words.fill(0)
    for (let hart = 0; hart < this.#harts; hart++) if (output & (1 << hart)) this.#setExternal(hart, false)
  }

  /** A device drives its line. RangeError for a source that does not exist. */
  setLevel(source: number, level: boolean): void {
    if (source < 1 || source > PLIC_SOURCES) throw new RangeError(`PLIC source ${source}`)
    this.#lock.acquire()
    try {
      const bit = 1 << source
      if (level) this.#words[PlicWord.LEVEL] |= bit
      else this.#words[PlicWord.LEVEL] &= ~bit
      this.#gateway(bit)
      this.#update()
    } finally {
      this.#lock.release()
    }
  }

  /** A guest's 32-bit load at byte `offset`; reserved places read as 0. Reading CLAIM claims. */
  read32(offset: number): number {
    this.#lock.acquire()
    try {
      return this.#read(offset)
    } finally {
      this.#lock.release()
    }
  }

  /** A guest's 32-bit store at byte `offset`; reserved and read-only places ignore it. */
  write32(offset: number, value: number): void {
    this.#lock.acquire()
    try {
      this.#write(offset, value)
      this.#update()
    } finally {
      this.#lock.release()
    }
  }

  #read(offset: number): number {
    const words = this.#words
    if (offset >= PlicReg.THRESHOLD) {
      const context = Math.floor((offset - PlicReg.THRESHOLD) / PlicReg.CONTEXT_STRIDE)
      const register = (offset - PlicReg.THRESHOLD) % PlicReg.CONTEXT_STRIDE
      if (context >= this.#harts) return 0
      if (register === 0) return words[PlicWord.THRESHOLD + context]
      return register === PlicReg.CLAIM ? this.#claim(context) : 0
    }
    if (offset >= PlicReg.ENABLE) {
      const context = this.#enableContext(offset)
      return context < 0 ? 0 : words[PlicWord.ENABLE + context] >>> 0
    }
    if (offset === PlicReg.PENDING) return words[PlicWord.PENDING] >>> 0
    return offset <= 4 * PLIC_SOURCES ? words[PlicWord.PRIORITY + (offset >> 2)] : 0
  }

  #write(offset: number, value: number): void {
    const words = this.#words
    if (offset >= PlicReg.THRESHOLD) {
      const context = Math.floor((offset - PlicReg.THRESHOLD) / PlicReg.CONTEXT_STRIDE)
      const register = (offset - PlicReg.THRESHOLD) % PlicReg.CONTEXT_STRIDE
      if (context >= this.#harts) return
      if (register === 0) words[PlicWord.THRESHOLD + context] = value & PRIORITY_MASK
      else if (register === PlicReg.CLAIM) this.#complete(context, value)
    } else if (offset >= PlicReg.ENABLE) {
      const context = this.#enableContext(offset)
      if (context >= 0) words[PlicWord.ENABLE + context] = value & ~1
    } else if (offset >= 4 && offset <= 4 * PLIC_SOURCES) {
      words[PlicWord.PRIORITY + (offset >> 2)] = value & PRIORITY_MASK
    }
  }

  /** The context whose (only) enable word lies at `offset`, or -1. */
  #enableContext(offset: number): number {
    const from = offset - PlicReg.ENABLE
    const context = Math.floor(from / PlicReg.ENABLE_STRIDE)
    return from % PlicReg.ENABLE_STRIDE === 0 && context < this.#harts ? context : -1
  }

  /** A source's gateway: forwards an active line once, then not until completion. */
  #gateway(bit: number): void {
    const words = this.#words
    // A request already accepted stays pending when the line falls (specification, chapter "Interrupt Gateways").
    if (words[PlicWord.LEVEL] & ~words[PlicWord.IN_SERVICE] & bit) words[PlicWord.PENDING] |= bit
  }

  /** Enabled pending source of highest priority (lowest number among equals) above `floor`; 0 when none. */
  #best(context: number, floor: number): number {
    const words = this.#words
    let candidates = words[PlicWord.PENDING] & words[PlicWord.ENABLE + context]
    let best = 0
    let bestPriority = floor
    while (candidates !== 0) {
      const source = 31 - Math.clz32(candidates & -candidates)
      candidates &= candidates - 1
      const priority = words[PlicWord.PRIORITY + source]
      if (priority > bestPriority) {
        best = source
        bestPriority = priority
      }
    }
    return best
  }

  #claim(context: number): number {
    // The threshold holds back the interrupt, not the claim (specification, "Interrupt Claim Process").
    const source = this.#best(context, 0)
    if (source !== 0) {
      this.#words[PlicWord.PENDING] &= ~(1 << source)
      this.#words[PlicWord.IN_SERVICE] |= 1 << source
      this.#update()
    }
    return source
  }

  #complete(context: number, source: number): void {
    if (source < 1 || source > PLIC_SOURCES) return
    const bit = 1 << source
    if ((this.#words[PlicWord.ENABLE + context] & bit) === 0) return
    this.#words[PlicWord.IN_SERVICE] &= ~bit
    this.#gateway(bit)
  }

  #update(): void {
    const words = this.#words
    for (let hart = 0; hart < this.#harts; hart++) {
      const bit = 1 << hart
      const level = this.#best(hart, words[PlicWord.THRESHOLD + hart]) === 0 ? 0 : bit
      if ((words[PlicWord.OUTPUT] & bit) === level) continue
      words[PlicWord.OUTPUT] ^= bit
      this.#setExternal(hart, level !== 0)
    }
  }
}
