// How long to spin before parking, learnt from what spinning and parking brought.
//
// As in KVM's halt polling (virt/kvm/kvm_main.c, grow_halt_poll_ns): what came soon after parking, longer
// spinning would have caught, so spin longer; what did not come for long is not worth spinning for. Unlike a
// kernel, a thread here cannot know that it shares its core with the one it waits for (another program has the
// others). Then no spinning helps, it only keeps the other from running: when even the longest spin was in vain
// time after time, it parks at once for a while, and then tries again.

const FLOOR_US = 25
/** About twice what parking and waking cost: spinning longer could at most halve the wait. */
const CEILING_US = 100
const GROWTH = 2
/** What comes this soon after parking was worth waiting for. */
const SOON_US = 400
/** Longest spins in vain, in a row, before giving up. */
const VAIN_LIMIT = 2
/** Waits without spinning after that; doubled as long as the next tries are in vain too. */
const FEWEST_PARKS = 16
const MOST_PARKS = 1024

export class Patience {
  #micros = FLOOR_US
  /** Longest spins in vain, in a row. */
  #vain = 0
  /** Waits left before spinning is tried again. */
  #parks = 0
  #nextParks = FEWEST_PARKS

  /** Microseconds to spin now. */
  get micros(): number {
    return this.#parks > 0 ? 0 : this.#micros
  }

  /** It came while spinning. */
  caught(): void {
    this.#vain = 0
    this.#nextParks = FEWEST_PARKS
  }

  /** Parked for `micros` microseconds until it came (or a time-out). */
  parked(micros: number): void {
    if (this.#parks > 0) this.#parks--
    else if (micros >= SOON_US) this.#micros = FLOOR_US
    else if (this.#micros < CEILING_US) this.#micros = Math.min(GROWTH * this.#micros, CEILING_US)
    else if (++this.#vain >= VAIN_LIMIT) {
      this.#parks = this.#nextParks
      this.#nextParks = Math.min(2 * this.#nextParks, MOST_PARKS)
    }
  }
}
