// One map's data: a word a page, the frame behind it, and how recently it changed.

/** How long a change stays lit, in milliseconds. */
export const FLASH_MS = 900

/** A change of more cells than this at once (a boot, a reset) does not flash at all. */
const FLASH_LIMIT = 16_384

export class PageMap {
  readonly count: number
  /** Cell or GuestPage bits. */
  readonly states: Uint16Array
  /** 255 just changed ... 0 at rest. */
  readonly flashes: Uint8Array
  /** Frame of the page, -1 when there is none. */
  readonly pfns: Int32Array
  /** Bumped when anything drawn changed. */
  version = 0
  readonly #next: Uint16Array
  #flashing: number[] = []
  #fresh = true

  constructor(count: number) {
    this.count = count
    this.states = new Uint16Array(count)
    this.flashes = new Uint8Array(count)
    this.pfns = new Int32Array(count).fill(-1)
    this.#next = new Uint16Array(count)
  }

  /** Empties the map for a new scatter and returns the words to fill. */
  begin(rest = 0): Uint16Array {
    this.#next.fill(rest)
    this.pfns.fill(-1)
    return this.#next
  }

  /** Takes what was filled: finds the cells that differ and lights them. */
  commit(): void {
    const { states, flashes } = this
    const next = this.#next
    const changed: number[] = []
    let count = 0
    for (let i = 0; i < next.length; i++) {
      if (states[i] === next[i]) continue
      states[i] = next[i]
      if (count++ < FLASH_LIMIT) changed.push(i)
    }
    if (!count) return
    this.version++
    if (this.#fresh || count > FLASH_LIMIT) {
      this.#fresh = false
      return
    }
    for (const i of changed) {
      if (flashes[i] === 0) this.#flashing.push(i)
      flashes[i] = 255
    }
  }

  /** Lets the light of earlier changes fade by `ms`; true while any cell is still lit. */
  fade(ms: number): boolean {
    if (!this.#flashing.length) return false
    const by = Math.max(1, Math.round((255 * ms) / FLASH_MS))
    const { flashes } = this
    this.#flashing = this.#flashing.filter((i) => {
      flashes[i] = flashes[i] > by ? flashes[i] - by : 0
      return flashes[i] > 0
    })
    this.version++
    return this.#flashing.length > 0
  }
}
