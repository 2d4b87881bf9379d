// fork and exit of a process (kernel/fork.c and mm/mmap.c, v7.2): what a child shares with its parent and what it
// copies when one of them writes.

import { PAGE_SIZE } from '../base/units.ts'
import type { KernelTask } from './kernel-task.ts'
import { munmap } from './mmap.ts'
import { Process } from './process.ts'

/**
 * A child with the parent's open files and mappings. Pages of shared mappings are found again by faults; private ones
 * are shared until somebody writes, so the parent's entries lose write permission, and with them the stage 2 that a
 * hypervisor built of them. The child has no MMU notifier: KVM knows the parent only.
 */
export function* fork(parent: Process): KernelTask<Process> {
  const child = new Process(parent.host, parent.addressBits, parent.fds.limit)
  child.privileged = parent.privileged
  child.policy = parent.policy
  child.interleavePrevious = parent.interleavePrevious
  child.fds.copyFrom(parent.fds)
  yield* parent.mmapLock.writeLock()
  try {
    for (const vma of parent.vmas.all) {
      if (vma.dontCopy) continue
      child.vmas.insert({ ...vma, process: child, locked: false })
      if (vma.shared || vma.wipeOnFork) continue
      const [first, last] = [vma.start / PAGE_SIZE, vma.end / PAGE_SIZE]
      yield* parent.notify(vma.start, vma.end, () => child.pages.copyFrom(parent.pages, first, last))
    }
  } finally {
    parent.mmapLock.writeUnlock()
  }
  return child
}

/** exit_mm, then exit_files: every mapping goes, then every descriptor. */
export function* exitProcess(process: Process): KernelTask<void> {
  yield* munmap(process, 0, process.addressLimit)
  for (const fd of process.fds.open()) yield* process.fds.remove(fd).put()
  process.host.processes.delete(process)
}
