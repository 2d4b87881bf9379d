// How long to spin before parking, learnt from what parking cost: the rule of KVM's halt polling
// (virt/kvm/kvm_main.c, grow_halt_poll_ns; the same ceiling).
//
// What was waited for came soon after parking: spinning longer would have caught it, so be more patient. It did
// not come for long: spinning is a waste, so start over.

const FLOOR_US = 50
const CEILING_US = 200
const GROWTH = 2

export class Patience {
  #micros = FLOOR_US

  /** Microseconds to spin now. */
  get micros(): number {
    return this.#micros
  }

  /** Parked for `micros` microseconds until it came (or a time-out). */
  parked(micros: number): void {
    this.#micros = micros < CEILING_US ? Math.min(GROWTH * this.#micros, CEILING_US) : FLOOR_US
  }
}
