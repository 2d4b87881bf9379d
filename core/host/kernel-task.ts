// Kernel tasks: every kernel path is a generator that yields at named steps and parks on locks or waits.
//
// The same code then runs at full speed, in slow motion, or shuffled by a seed; the scheduler
// (scheduler.ts) decides who goes on. A path's result is the generator's return value; a failure is a
// thrown KernelError.

/** What a task yields: where it is, and what it waits for. */
export interface Step {
  /** The step's name, `function/what`, as in the kernel's source: `kvm_gmem_punch_hole/invalidate_begin`. */
  readonly at: string
  /** Present: the task must not go on before this is true (a lock, an acknowledgement, a doorbell). */
  readonly until?: () => boolean
}

export type KernelTask<T> = Generator<Step, T, void>
