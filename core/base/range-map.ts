// RangeMap: every index of [0, end) has a value, and equal neighbours are one range.
//
// What a maple tree (lib/maple_tree.c) does for guest_memfd's attributes: a uniform file is one entry. Ranges are
// kept in sorted arrays; changing one moves the entries behind it.

export class RangeMap<T> {
  /** One past the last index. */
  readonly end: number
  readonly #starts: number[]
  readonly #values: T[]

  constructor(end: number, value: T) {
    this.end = end
    this.#starts = [0]
    this.#values = [value]
  }

  /** Entries: 1 when all indexes have one value. */
  get size(): number {
    return this.#starts.length
  }

  get(index: number): T {
    return this.#values[this.#entryOf(index)]
  }

  /** Gives every index of [start, end) a value. */
  store(start: number, end: number, value: T): void {
    if (start >= end) return
    // The entries touched, and a neighbour on either side that may merge.
    const first = Math.max(0, this.#entryOf(start) - 1)
    const last = Math.min(this.size - 1, this.#entryOf(end - 1) + 1)
    const starts: number[] = []
    const values: T[] = []
    const push = (at: number, entry: T): void => {
      if (values.length > 0 && values[values.length - 1] === entry) return
      starts.push(at)
      values.push(entry)
    }
    for (let i = first; i <= last && this.#starts[i] < start; i++) push(this.#starts[i], this.#values[i])
    push(start, value)
    for (let i = first; i <= last; i++)
      if (this.#endOf(i) > end) push(Math.max(end, this.#starts[i]), this.#values[i])
    this.#starts.splice(first, last - first + 1, ...starts)
    this.#values.splice(first, last - first + 1, ...values)
  }

  /** True when every index of [start, end) has this value. */
  isUniform(start: number, end: number, value: T): boolean {
    const entry = this.#entryOf(start)
    return this.#values[entry] === value && this.#endOf(entry) >= end
  }

  /** Calls `visit` for every range that touches [start, end), in order, cut to it. */
  forRange(start: number, end: number, visit: (value: T, start: number, end: number) => void): void {
    if (start >= end) return
    for (let i = this.#entryOf(start); i < this.#starts.length && this.#starts[i] < end; i++)
      visit(this.#values[i], Math.max(start, this.#starts[i]), Math.min(end, this.#endOf(i)))
  }

  #endOf(entry: number): number {
    return entry + 1 < this.#starts.length ? this.#starts[entry + 1] : this.end
  }

  /** The entry that holds an index. */
  #entryOf(index: number): number {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle] <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}
