// A device's mutual exclusion: one shared word, usable from every worker at once.
//
// Three states after Drepper's "Futexes Are Tricky": free, held, held with sleepers. Register accesses hold it
// for tens of nanoseconds, so a short spin nearly always suffices; sleeping covers a holder that lost its core.
// A holder never waits for a guest, a host thread or an event. Locks nest in one order only: UART, then PLIC.

const FREE = 0
const HELD = 1
const CONTENDED = 2

/** Loads tried before sleeping: about a microsecond, some ten times a register access. */
const SPINS = 200

/** A lock on one word of shared memory; not recursive. Not for a page's main thread, where `Atomics.wait` throws. */
export class DeviceLock {
  readonly #words: Int32Array
  readonly #index: number

  /** `words` views shared memory; the word at `index` must be 0 before first use. */
  constructor(words: Int32Array, index: number) {
    this.#words = words
    this.#index = index
  }

  acquire(): void {
    const words = this.#words
    const index = this.#index
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.load(words, index) === FREE && Atomics.compareExchange(words, index, FREE, HELD) === FREE)
        return
    }
    while (Atomics.exchange(words, index, CONTENDED) !== FREE) Atomics.wait(words, index, CONTENDED)
  }

  release(): void {
    if (Atomics.exchange(this.#words, this.#index, FREE) === CONTENDED)
      Atomics.notify(this.#words, this.#index, 1)
  }
}
