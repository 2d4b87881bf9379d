// The scheduler of kernel tasks: at full speed, in slow motion, or in an order shuffled by a seed.
//
// Tasks exclude each other except at their yields. A step with `until` parks the task; conditions are polled at
// every pump, and a task goes on in the same breath in which its condition held, so what it waited for (a free
// lock) is still so.

import type { KernelTask, Step } from './kernel-task.ts'
import type { LockClass, LockHolder } from './lockdep.ts'

export type SchedulerMode =
  /** A task runs until it parks or gives way. */
  | { readonly kind: 'run' }
  /** One step every `stepMs` milliseconds over all tasks; locks stay held meanwhile. */
  | { readonly kind: 'slow'; readonly stepMs: number }
  /** A seeded choice of the next task at every yield. */
  | { readonly kind: 'shuffle'; readonly seed: number }

/** CPUs of the emulated host's kernel: what is kept per CPU is kept this often. */
export const CPUS = 2

/** A task under way. */
export class TaskHandle<T = unknown> implements LockHolder {
  readonly name: string
  /** The CPU it runs on, for life. */
  readonly cpu: number
  readonly held: LockClass[] = []
  readonly task: KernelTask<T>
  /** The step it stands at. */
  step: Step | null = null
  done = false
  failed = false
  error: unknown = undefined
  value: T | undefined = undefined
  /** A signal waits for the thread whose system call this is: what may be interrupted gives up with EINTR. */
  signalPending = false
  #settle: (() => void) | null = null

  constructor(name: string, task: KernelTask<T>, cpu = 0) {
    this.name = name
    this.cpu = cpu
    this.task = task
  }

  /** Nobody asked for the result: a failure would go unseen. */
  get unobserved(): boolean {
    return this.#settle === null
  }

  /** Settles with the task's return value, or rejects with what it threw. */
  result(): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (): void => (this.failed ? reject(this.error) : resolve(this.value as T))
      if (this.done) settle()
      else {
        const before = this.#settle
        this.#settle = () => {
          before?.()
          settle()
        }
      }
    })
  }

  /** One step. */
  advance(): void {
    try {
      const next = this.task.next()
      if (next.done) {
        this.value = next.value
        this.done = true
      } else this.step = next.value
    } catch (error) {
      this.error = error
      this.failed = true
      this.done = true
    }
    if (this.done) this.#settle?.()
  }

  get runnable(): boolean {
    const until = this.step?.until
    return until === undefined || until()
  }

  /** It stopped only to let others go first. */
  get gaveWay(): boolean {
    return this.step?.resched === true && !this.done
  }
}

/** A small, good generator of 32-bit numbers (mulberry32), so that a seed names a schedule for ever. */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** Polls without any progress after which a synchronous run reports that it is stuck. */
const STUCK_POLLS = 1_000_000

/** Passes over all tasks in one pump; each serves every doorbell that rang meanwhile. */
const MAX_PASSES = 64

export class Scheduler {
  /** The task whose step is running; lock owners are read from here. */
  current: TaskHandle = new TaskHandle('boot', idle())
  /** The running task is driven one step at a time: it stops at steps that wait for nothing, too. */
  stepping = false
  #tasks: TaskHandle[] = []
  #mode: SchedulerMode = { kind: 'run' }
  #random = seededRandom(0)
  #nextStepAt = 0
  #turn = 0
  #spawned = 0
  /** Counts every time a task was run: who pumps can tell work from waiting. */
  progress = 0
  /** Called with every step a task stops at in slow mode (the page's timeline of steps). */
  onStep: ((task: TaskHandle, step: Step) => void) | null = null

  /** Called when a spawned task failed and nobody has asked for its result. */
  onFailure: ((task: TaskHandle) => void) | null = null

  /** A signal waits for the running task (signal_pending(current)). */
  get signalPending(): boolean {
    return this.current.signalPending
  }

  get mode(): SchedulerMode {
    return this.#mode
  }

  setMode(mode: SchedulerMode): void {
    this.#mode = mode
    if (mode.kind === 'shuffle') this.#random = seededRandom(mode.seed)
    this.#nextStepAt = 0
  }

  /** Milliseconds (Date.now) at which slow mode takes its next step. */
  get nextStepAt(): number {
    return this.#nextStepAt
  }

  get tasks(): readonly TaskHandle[] {
    return this.#tasks
  }

  /** Some task only gave way: pump again soon. */
  get gaveWay(): boolean {
    return this.#tasks.some((task) => task.gaveWay)
  }

  /** Tasks go to the CPUs in turn; `runSync` runs on CPU 0. */
  spawn<T>(name: string, task: KernelTask<T>, cpu = this.#spawned++ % CPUS): TaskHandle<T> {
    const handle = new TaskHandle(name, task, cpu)
    this.#tasks.push(handle as TaskHandle)
    return handle
  }

  /**
   * Drives what can run. Run: until every task is done, parked or has given way. Shuffle: until every task is
   * done or parked. Slow: at most one step, and none before its time. 'idle': no task is left; 'waiting': tasks
   * wait (for a condition, for nextStepAt, or for the next pump: gaveWay).
   */
  pump(): 'idle' | 'waiting' {
    if (this.#tasks.length === 0) return 'idle'
    switch (this.#mode.kind) {
      case 'run':
        this.#pumpRun()
        break
      case 'slow':
        this.#pumpSlow(this.#mode.stepMs)
        break
      case 'shuffle':
        while (this.#shuffleStep());
        break
    }
    return this.#tasks.length === 0 ? 'idle' : 'waiting'
  }

  /**
   * Runs a task to its end now, driving the others when it parks; for system calls in tests and Node, and for
   * paths known not to park. In slow mode it does not pause. Throws what the task throws, or when nothing
   * moves any more.
   */
  runSync<T>(task: KernelTask<T>, name = 'syscall'): T {
    const handle = new TaskHandle(name, task)
    if (this.#mode.kind === 'shuffle') this.#runShuffled(handle as TaskHandle)
    else this.#runStraight(handle as TaskHandle)
    if (handle.failed) throw handle.error
    return handle.value as T
  }

  #runStraight(handle: TaskHandle): void {
    let polls = 0
    while (!handle.done) {
      if (handle.runnable) {
        this.#run(handle)
        polls = 0
        if (!handle.gaveWay) continue
      }
      if (this.#runOthers(handle)) polls = 0
      else if (++polls > STUCK_POLLS) throw new Error(`${handle.name} is stuck at ${handle.step?.at}`)
    }
  }

  #runShuffled(handle: TaskHandle): void {
    this.#tasks.push(handle)
    let polls = 0
    while (!handle.done) {
      if (this.#shuffleStep()) polls = 0
      else if (++polls > STUCK_POLLS) throw new Error(`${handle.name} is stuck at ${handle.step?.at}`)
    }
    this.#sweep()
  }

  /** Runs a task until it parks, gives way or ends. */
  #run(handle: TaskHandle): void {
    const before = this.current
    this.progress++
    this.current = handle
    do handle.advance()
    while (!handle.done && !handle.gaveWay && handle.runnable)
    this.current = before
  }

  #runOthers(except: TaskHandle): boolean {
    let moved = false
    for (const task of this.#tasks) {
      if (task === except || task.done || !task.runnable) continue
      this.#run(task)
      moved = true
    }
    if (moved) this.#sweep()
    return moved
  }

  #pumpRun(): void {
    // Bounded: guests that never stop ringing must not keep the pump's caller from its event loop.
    for (let pass = 0, moved = true; moved && pass < MAX_PASSES; pass++) {
      moved = false
      for (let i = 0; i < this.#tasks.length; i++) {
        const task = this.#tasks[i]
        if (task.done || !task.runnable) continue
        if (pass > 0 && task.gaveWay) continue
        this.#run(task)
        moved = true
      }
      if (moved) this.#sweep()
    }
  }

  #pumpSlow(stepMs: number): void {
    const now = Date.now()
    if (now < this.#nextStepAt) return
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[(this.#turn + i) % this.#tasks.length]
      if (!task.runnable) continue
      this.#turn = (this.#turn + i + 1) % this.#tasks.length
      this.#step(task)
      if (!task.done && task.step) this.onStep?.(task, task.step)
      this.#nextStepAt = now + stepMs
      break
    }
    this.#sweep()
  }

  #shuffleStep(): boolean {
    const runnable = this.#tasks.filter((task) => !task.done && task.runnable)
    if (runnable.length === 0) return false
    this.#step(runnable[this.#random() % runnable.length])
    this.#sweep()
    return true
  }

  /** One step of one task, whatever the mode: for interleavings laid out by hand. */
  step(task: TaskHandle): void {
    this.#step(task)
    this.#sweep()
  }

  /** Steps a task until it stands at `at`. Throws when it ends before. */
  stepTo(task: TaskHandle, at: string): void {
    while (task.step?.at !== at) {
      if (task.done) throw new Error(`${task.name} ended without coming to ${at}`)
      this.step(task)
    }
  }

  #step(task: TaskHandle): void {
    const before = this.current
    this.progress++
    this.current = task
    this.stepping = true
    task.advance()
    this.stepping = false
    this.current = before
  }

  #sweep(): void {
    for (const task of this.#tasks) if (task.failed && task.unobserved) this.onFailure?.(task)
    if (this.#tasks.some((task) => task.done)) this.#tasks = this.#tasks.filter((task) => !task.done)
  }
}

function* idle(): KernelTask<void> {}
