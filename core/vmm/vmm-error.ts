// A system call of the VMM's own set-up failed: the machine cannot be built.

import { errnoName } from '../base/errno.ts'
import type { KernelTask } from '../host/kernel-task.ts'

export class VmmError extends Error {
  /** `errno`: negative, as the call returned it. */
  constructor(call: string, errno: number) {
    const name = errnoName(-errno)
    const remedy =
      name === 'ENOMEM' ? ': the emulated host is out of memory; give it more, or the guest less' : ''
    super(`${call} failed with ${name}${remedy}`)
  }
}

/** The value of a system call that must succeed. Throws VmmError. */
export function* must(call: string, task: KernelTask<number>): KernelTask<number> {
  const value = yield* task
  if (value < 0) throw new VmmError(call, value)
  return value
}
