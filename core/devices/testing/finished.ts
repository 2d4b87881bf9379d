// Runs a kernel task that has nothing to wait for.

import type { KernelTask } from '../../host/kernel-task.ts'

export const finished = <T>(task: KernelTask<T>): T => {
  const step = task.next()
  if (!step.done) throw new Error(`the task waits at ${step.value.at}`)
  return step.value
}
