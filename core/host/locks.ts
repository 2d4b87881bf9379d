// Locks of kernel tasks: a task `yield*`s on acquire and parks while another holds the lock.
//
// Every acquisition is a named step where a task is driven step by step (slow motion, shuffled schedules); at full
// speed a free lock is taken at once. Lockdep checks the order. Unlocking does not yield.

import type { KernelTask, Step } from './kernel-task.ts'
import type { LockClass, Lockdep, LockHolder } from './lockdep.ts'

/** What locks need from their host: lockdep, and who is running. */
export interface LockContext {
  readonly lockdep: Lockdep
  readonly scheduler: { readonly current: LockHolder; readonly stepping: boolean }
}

/** A sleeping lock with one owner (struct mutex; also stands for a spinlock). */
export class Mutex {
  readonly #context: LockContext
  readonly #class: LockClass
  readonly #step: Step
  #owner: LockHolder | null = null

  /** `name` is the lock class, as in the kernel: `kvm->slots_lock`. */
  constructor(context: LockContext, name: string) {
    this.#context = context
    this.#class = context.lockdep.classOf(name)
    this.#step = { at: `lock ${name}`, until: () => this.#owner === null }
  }

  get locked(): boolean {
    return this.#owner !== null
  }

  *lock(): KernelTask<void> {
    const { lockdep, scheduler } = this.#context
    lockdep.acquire(scheduler.current, this.#class)
    if (scheduler.stepping || this.#owner !== null) yield this.#step
    this.#owner = scheduler.current
  }

  unlock(): void {
    const { lockdep, scheduler } = this.#context
    if (this.#owner !== scheduler.current)
      throw new Error(`${scheduler.current.name} unlocks ${this.#class.name} of another`)
    lockdep.release(scheduler.current, this.#class)
    this.#owner = null
  }
}

/** A lock held by many readers or one writer (struct rw_semaphore). A waiting writer holds new readers back. */
export class RwLock {
  readonly #context: LockContext
  readonly #class: LockClass
  readonly #readStep: Step
  readonly #writeStep: Step
  #readers = 0
  #writersWaiting = 0
  #writer: LockHolder | null = null

  constructor(context: LockContext, name: string) {
    this.#context = context
    this.#class = context.lockdep.classOf(name)
    this.#readStep = { at: `read lock ${name}`, until: () => this.#readable }
    this.#writeStep = { at: `write lock ${name}`, until: () => !this.locked }
  }

  get locked(): boolean {
    return this.#writer !== null || this.#readers > 0
  }

  get #readable(): boolean {
    return this.#writer === null && this.#writersWaiting === 0
  }

  *readLock(): KernelTask<void> {
    const { lockdep, scheduler } = this.#context
    lockdep.acquire(scheduler.current, this.#class)
    if (scheduler.stepping || !this.#readable) yield this.#readStep
    this.#readers++
  }

  readUnlock(): void {
    this.#context.lockdep.release(this.#context.scheduler.current, this.#class)
    this.#readers--
  }

  *writeLock(): KernelTask<void> {
    const { lockdep, scheduler } = this.#context
    lockdep.acquire(scheduler.current, this.#class)
    if (scheduler.stepping || this.locked) {
      this.#writersWaiting++
      yield this.#writeStep
      this.#writersWaiting--
    }
    this.#writer = scheduler.current
  }

  writeUnlock(): void {
    const { lockdep, scheduler } = this.#context
    if (this.#writer !== scheduler.current)
      throw new Error(`${scheduler.current.name} unlocks ${this.#class.name} of another`)
    lockdep.release(scheduler.current, this.#class)
    this.#writer = null
  }
}
