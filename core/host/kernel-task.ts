// Kernel tasks: every kernel path is a generator that yields at named steps and parks on locks or waits.
//
// The same code then runs at full speed, in slow motion, or shuffled by a seed; the scheduler
// (scheduler.ts) decides who goes on. A path's result is the generator's return value; a failure is a
// thrown KernelError.
//
// A step that waits for nothing is there to be seen and to be shuffled. A task at full speed would go straight on,
// and a yield through ten generators costs more than the work between two of them, so such steps are taken only
// while the task is driven step by step: `if (scheduler.stepping) yield STEP`.

/** What a task yields: where it is, and what it waits for. */
export interface Step {
  /** The step's name, `function/what`, as in the kernel's source: `gmem_punch_hole/invalidate_begin`. */
  readonly at: string
  /** Present: the task must not go on before this is true (a lock, an acknowledgement, a doorbell). */
  readonly until?: () => boolean
  /** Present: a long task offers the others a turn here (cond_resched). */
  readonly resched?: true
}

export type KernelTask<T> = Generator<Step, T, void>
