// madvise(2), with the check order of mm/madvise.c (v6.18).

import { KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { fallocateFile } from './fallocate.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'
import { fileIndexAt, Prot, type Vma } from './vma.ts'

export const Advice = {
  NORMAL: 0,
  RANDOM: 1,
  SEQUENTIAL: 2,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  REMOVE: 9,
  DONTFORK: 10,
  DOFORK: 11,
  MERGEABLE: 12,
  UNMERGEABLE: 13,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
  DONTDUMP: 16,
  DODUMP: 17,
  WIPEONFORK: 18,
  KEEPONFORK: 19,
  COLD: 20,
  PAGEOUT: 21,
  POPULATE_READ: 22,
  POPULATE_WRITE: 23,
  DONTNEED_LOCKED: 24,
} as const

const KNOWN = new Set<number>(Object.values(Advice))

/** Start is an address, length in bytes (rounded up to pages). */
export function* madvise(
  process: Process,
  start: number,
  length: number,
  advice: number,
): KernelTask<number> {
  if (!KNOWN.has(advice) || !isPageAligned(start)) throw new KernelError('EINVAL')
  const pages = Math.ceil(length / PAGE_SIZE)
  if (start / PAGE_SIZE + pages >= U64_PAGES) throw new KernelError('EINVAL')
  const end = start + pages * PAGE_SIZE
  if (end === start) return 0
  if (advice === Advice.POPULATE_READ || advice === Advice.POPULATE_WRITE) {
    yield* populate(process, start, end, advice === Advice.POPULATE_WRITE)
    return 0
  }
  // Holes are skipped, then reported: everything mapped has been treated.
  let hole = false
  yield* process.mmapLock.readLock()
  try {
    for (let at = start; at < end; ) {
      const vma = process.vmas.within(at, end)[0]
      if (!vma) {
        hole = true
        break
      }
      if (vma.start > at) hole = true
      const from = Math.max(at, vma.start)
      at = Math.min(end, vma.end)
      yield* advise(process, vma, from, at, advice)
    }
  } finally {
    process.mmapLock.readUnlock()
  }
  if (hole) throw new KernelError('ENOMEM')
  return 0
}

/** One mapping's part, under mmap_lock. */
function* advise(process: Process, vma: Vma, start: number, end: number, advice: number): KernelTask<void> {
  switch (advice) {
    case Advice.DONTNEED:
    case Advice.DONTNEED_LOCKED:
      if (vma.locked && advice === Advice.DONTNEED) throw new KernelError('EINVAL')
      yield* process.zap(start, end)
      return
    case Advice.FREE:
      if (vma.file) throw new KernelError('EINVAL')
      yield* process.zap(start, end)
      return
    case Advice.WIPEONFORK:
      if (vma.file || vma.shared) throw new KernelError('EINVAL')
      return
    case Advice.COLD:
    case Advice.PAGEOUT:
      if (vma.locked) throw new KernelError('EINVAL')
      return
    case Advice.REMOVE: {
      if (vma.locked || !vma.file) throw new KernelError('EINVAL')
      if (!vma.shared || !(vma.mayProt & Prot.WRITE)) throw new KernelError('EACCES')
      // The file takes its own locks, and its last reference may go: not under mmap_lock.
      const file = vma.file.get()
      process.mmapLock.readUnlock()
      try {
        yield* fallocateFile(file, REMOVE_MODE, fileIndexAt(vma, start) * PAGE_SIZE, end - start)
      } finally {
        yield* file.put()
        yield* process.mmapLock.readLock()
      }
    }
  }
}

/** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. */
const REMOVE_MODE = 3

function* populate(process: Process, start: number, end: number, write: boolean): KernelTask<void> {
  for (let at = start; at < end; at += PAGE_SIZE) {
    const vma = process.vmas.find(at)
    if (!vma) throw new KernelError('ENOMEM')
    if (write ? !(vma.prot & Prot.WRITE) : vma.prot === 0) throw new KernelError('EINVAL')
    const result = yield* process.access(at, write)
    if (typeof result !== 'number') throw new KernelError('EFAULT')
  }
}
