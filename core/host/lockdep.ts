// Lockdep: learns in which order lock classes nest and reports an order that could deadlock, even when it did not.
//
// Every acquisition adds edges "held -> taken" to a graph of classes; an edge that closes a cycle is reported
// with both call paths: the locks held (and where each was taken) when either edge was first seen.

/** A lock class: all locks made at one place share it. */
export interface LockClass {
  readonly name: string
  readonly number: number
}

/** Locks a task holds, in order of acquisition. */
export interface LockHolder {
  readonly name: string
  readonly held: LockClass[]
}

const MAX_CLASSES = 64

/** A lock order that contradicts one seen before. */
export class LockOrderError extends Error {
  readonly cycle: readonly string[]
  constructor(cycle: readonly string[], paths: readonly string[]) {
    super(`lock order cycle: ${cycle.join(' -> ')}\n${paths.join('\n')}`)
    this.cycle = cycle
  }
}

export class Lockdep {
  readonly #classes: LockClass[] = []
  /** edges[a * MAX_CLASSES + b]: b was taken while a was held. */
  readonly #edges = new Uint8Array(MAX_CLASSES * MAX_CLASSES)
  readonly #paths = new Map<number, string>()

  classOf(name: string): LockClass {
    const known = this.#classes.find((lock) => lock.name === name)
    if (known) return known
    if (this.#classes.length === MAX_CLASSES) throw new Error('too many lock classes')
    const made = { name, number: this.#classes.length }
    this.#classes.push(made)
    return made
  }

  /** Called before a lock is taken. Throws LockOrderError. */
  acquire(holder: LockHolder, lock: LockClass): void {
    const held = holder.held
    for (let i = 0; i < held.length; i++) {
      const edge = held[i].number * MAX_CLASSES + lock.number
      if (this.#edges[edge] === 0) this.#learn(holder, held[i], lock, edge)
    }
    held.push(lock)
  }

  release(holder: LockHolder, lock: LockClass): void {
    const at = holder.held.lastIndexOf(lock)
    if (at < 0) throw new Error(`${holder.name} releases ${lock.name}, which it does not hold`)
    holder.held.splice(at, 1)
  }

  #learn(holder: LockHolder, from: LockClass, to: LockClass, edge: number): void {
    const path = `${holder.name} takes ${to.name} holding ${holder.held.map((lock) => lock.name).join(', ')}`
    const back = this.#route(to, from)
    if (back) {
      const reasons = back
        .slice(1)
        .map((lock, i) => this.#paths.get(back[i].number * MAX_CLASSES + lock.number) ?? '')
      throw new LockOrderError([...back.map((lock) => lock.name), to.name], [path, ...reasons])
    }
    this.#edges[edge] = 1
    this.#paths.set(edge, path)
  }

  /** Classes on a way from `from` to `to` along known edges, or null. */
  #route(from: LockClass, to: LockClass): LockClass[] | null {
    if (from === to) return [from]
    const cameFrom = new Map<LockClass, LockClass>()
    const queue = [from]
    for (let lock = queue.shift(); lock; lock = queue.shift()) {
      for (const next of this.#classes) {
        if (!this.#edges[lock.number * MAX_CLASSES + next.number] || next === from || cameFrom.has(next))
          continue
        cameFrom.set(next, lock)
        if (next === to) {
          const route = [to]
          for (let at = cameFrom.get(to); at; at = cameFrom.get(at)) route.unshift(at)
          return route
        }
        queue.push(next)
      }
    }
    return null
  }
}
