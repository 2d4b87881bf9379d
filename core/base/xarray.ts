// XArray: a radix tree, 64 slots a node as in the kernel (lib/xarray.c), keyed by integers below 2^52.
//
// A range of indexes holding one value takes O(log) slots, not one slot an index: a slot high in the tree
// stands for 64^level indexes (the kernel's multi-index entries). Values are anything but undefined.

const BITS = 6
const FANOUT = 1 << BITS
const MASK = FANOUT - 1
/** Bits of the index that 32-bit arithmetic handles: the five lowest levels. */
const LOW_LEVELS = 5
const LOW_SPAN = 2 ** (BITS * LOW_LEVELS)
/** Indexes one slot of a level stands for. */
const SPAN = Array.from({ length: 10 }, (_, level) => 2 ** (BITS * level))

class Node<T> {
  readonly slots: (T | Node<T> | undefined)[]
  /** Slots in use. */
  count: number
  constructor(value: T | undefined) {
    this.slots = new Array<T | Node<T> | undefined>(FANOUT).fill(value)
    this.count = value === undefined ? 0 : FANOUT
  }
}

const slotOf = (index: number, level: number): number =>
  level < LOW_LEVELS
    ? ((index % LOW_SPAN) >>> (BITS * level)) & MASK
    : (Math.floor(index / LOW_SPAN) >>> (BITS * (level - LOW_LEVELS))) & MASK

/** What `path` tells about one node on the way to an index. */
export interface XArrayStep<T> {
  readonly level: number
  readonly slot: number
  /** The value, when the way ends here; undefined for a node further down or an empty slot. */
  readonly value: T | undefined
  readonly node: boolean
  /** The node's 64 slots: 0 empty, 1 a node further down, 2 a value. */
  readonly slots: Uint8Array
}

export class XArray<T> {
  #root: Node<T> | null = null
  /** Level of the root node: its slots stand for 64^level indexes. */
  #level = 0
  /** Extent of the entry that the last successful `find` returned; may be one part of a longer range. */
  foundStart = 0
  foundEnd = 0

  get empty(): boolean {
    return this.#root === null || this.#root.count === 0
  }

  get(index: number): T | undefined {
    let node = this.#root
    let level = this.#level
    if (!node || index >= SPAN[level + 1]) return undefined
    for (;;) {
      const entry: T | Node<T> | undefined = node.slots[slotOf(index, level)]
      if (!(entry instanceof Node)) return entry
      node = entry
      level--
    }
  }

  set(index: number, value: T): void {
    this.store(index, index + 1, value)
  }

  erase(index: number): void {
    this.store(index, index + 1, undefined)
  }

  /** Makes every index of [start, end) hold `value`; undefined erases. */
  store(start: number, end: number, value: T | undefined): void {
    if (start >= end) return
    if (!this.#root) {
      if (value === undefined) return
      this.#root = new Node<T>(undefined)
      this.#level = 0
    }
    if (value !== undefined) this.#grow(end)
    this.#store(this.#root, this.#level, 0, start, Math.min(end, SPAN[this.#level + 1]), value)
    if (this.#root.count === 0) this.#root = null
  }

  #grow(end: number): void {
    while (end > SPAN[this.#level + 1]) {
      const root = new Node<T>(undefined)
      if (this.#root && this.#root.count > 0) {
        root.slots[0] = this.#root
        root.count = 1
      }
      this.#root = root
      this.#level++
    }
  }

  #store(node: Node<T>, level: number, base: number, start: number, end: number, value: T | undefined): void {
    const span = SPAN[level]
    const first = Math.max(0, Math.floor((start - base) / span))
    const last = Math.min(FANOUT - 1, Math.floor((end - 1 - base) / span))
    const slots = node.slots
    for (let i = first; i <= last; i++) {
      const from = base + i * span
      const entry = slots[i]
      if (start <= from && from + span <= end) {
        if (entry === undefined) node.count += value === undefined ? 0 : 1
        else if (value === undefined) node.count--
        slots[i] = value
        continue
      }
      let child: Node<T>
      if (entry instanceof Node) child = entry
      else {
        if (entry === value) continue
        child = new Node<T>(entry)
        slots[i] = child
        if (entry === undefined) node.count++
      }
      this.#store(child, level - 1, from, start, end, value)
      if (child.count === 0) {
        slots[i] = undefined
        node.count--
      } else if (value !== undefined && child.count === FANOUT && isUniform(child)) slots[i] = value
    }
  }

  /** The first entry at or after `from` and before `end`; its extent is in foundStart and foundEnd. */
  find(from: number, end: number): T | undefined {
    const root = this.#root
    if (!root || from >= end) return undefined
    return this.#find(root, this.#level, 0, from, end)
  }

  #find(node: Node<T>, level: number, base: number, from: number, end: number): T | undefined {
    const span = SPAN[level]
    for (let i = Math.max(0, Math.floor((from - base) / span)); i < FANOUT; i++) {
      const start = base + i * span
      if (start >= end) return undefined
      const entry = node.slots[i]
      if (entry === undefined) continue
      if (entry instanceof Node) {
        const found = this.#find(entry, level - 1, start, from, end)
        if (found !== undefined) return found
        continue
      }
      this.foundStart = start
      this.foundEnd = start + span
      return entry
    }
    return undefined
  }

  /** Calls `visit` for every entry that touches [start, end), in order, with its extent cut to the range. */
  forRange(start: number, end: number, visit: (value: T, start: number, end: number) => void): void {
    if (this.#root && start < end) this.#forRange(this.#root, this.#level, 0, start, end, visit)
  }

  #forRange(
    node: Node<T>,
    level: number,
    base: number,
    start: number,
    end: number,
    visit: (value: T, start: number, end: number) => void,
  ): void {
    const span = SPAN[level]
    const slots = node.slots
    for (let i = Math.max(0, Math.floor((start - base) / span)); i < FANOUT; i++) {
      const from = base + i * span
      if (from >= end) return
      const entry = slots[i]
      if (entry === undefined) continue
      if (entry instanceof Node) this.#forRange(entry, level - 1, from, start, end, visit)
      else visit(entry, from < start ? start : from, Math.min(from + span, end))
    }
  }

  /**
   * Fills the empty indexes of [start, end) one by one with what `make(index)` returns, until it returns
   * undefined. Returns the index at which it stopped, or `end`.
   */
  fill(start: number, end: number, make: (index: number) => T | undefined): number {
    if (start >= end) return end
    this.#grow(end)
    this.#root ??= new Node<T>(undefined)
    const stopped = this.#fill(this.#root, this.#level, 0, start, end, make)
    if (this.#root.count === 0) this.#root = null
    return stopped
  }

  #fill(
    node: Node<T>,
    level: number,
    base: number,
    start: number,
    end: number,
    make: (index: number) => T | undefined,
  ): number {
    const span = SPAN[level]
    const slots = node.slots
    for (let i = Math.max(0, Math.floor((start - base) / span)); i < FANOUT; i++) {
      const from = base + i * span
      if (from >= end) return end
      const entry = slots[i]
      if (level === 0) {
        if (entry !== undefined) continue
        const value = make(from)
        if (value === undefined) return from
        slots[i] = value
        node.count++
        continue
      }
      if (entry !== undefined && !(entry instanceof Node)) continue
      const child: Node<T> = entry instanceof Node ? entry : new Node<T>(undefined)
      const stopped = this.#fill(child, level - 1, from, start, end, make)
      if (entry === undefined && child.count > 0) {
        slots[i] = child
        node.count++
      }
      if (stopped < end && stopped < from + span) return stopped
    }
    return end
  }

  /** The way from the root to `index`, for the inspector. */
  path(index: number): XArrayStep<T>[] {
    const steps: XArrayStep<T>[] = []
    let level = this.#level
    let node = index < SPAN[level + 1] ? this.#root : null
    while (node) {
      const slot = slotOf(index, level)
      const entry: T | Node<T> | undefined = node.slots[slot]
      const below = entry instanceof Node
      const slots = Uint8Array.from(node.slots, (e) => (e === undefined ? 0 : e instanceof Node ? 1 : 2))
      steps.push({ level, slot, value: below ? undefined : entry, node: below, slots })
      if (!below) break
      node = entry
      level--
    }
    return steps
  }
}

const isUniform = <T>(node: Node<T>): boolean => {
  const first = node.slots[0]
  if (first instanceof Node) return false
  for (const entry of node.slots) if (entry !== first) return false
  return true
}
