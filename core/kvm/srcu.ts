// Sleepable read-copy-update for memslot readers: a swap of the slot sets waits until nobody reads the old one.

import type { KernelTask, Step } from '../host/kernel-task.ts'

export class Srcu {
  readonly #readers: [number, number] = [0, 0]
  #index: 0 | 1 = 0
  readonly #steps: readonly [Step, Step] = [
    { at: 'synchronize_srcu/readers', until: () => this.#readers[0] === 0 },
    { at: 'synchronize_srcu/readers', until: () => this.#readers[1] === 0 },
  ]

  /** Begins a read section; pass what it returns to `unlock`. */
  lock(): 0 | 1 {
    this.#readers[this.#index]++
    return this.#index
  }

  unlock(index: 0 | 1): void {
    this.#readers[index]--
  }

  /** Waits for the readers that began before this call. One caller at a time. */
  *synchronize(): KernelTask<void> {
    const old = this.#index
    this.#index = old === 0 ? 1 : 0
    yield this.#steps[old]
  }
}
