// madvise(2), with the check order of mm/madvise.c (v6.18).

import { KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { fallocateFile } from './fallocate.ts'
import type { OpenFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'
import { injectErrors } from './memory-failure.ts'
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
  COLLAPSE: 25,
  /** A memory error is said to have happened in the pages; for testing. */
  HWPOISON: 100,
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
  if (advice === Advice.HWPOISON) {
    yield* injectErrors(process, start, end)
    return 0
  }
  const onFork = forkAdvice.get(advice)
  if (onFork) return yield* adviseFork(process, start, end, onFork)
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
    case Advice.COLLAPSE:
      // Processes have no huge pages here, as where the mapping has no room for one.
      throw new KernelError('EINVAL')
    case Advice.FREE:
      // The pages stay until memory is short, and a write keeps them: nobody can rely on more.
      if (vma.file || vma.locked) throw new KernelError('EINVAL')
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

type OnFork = Partial<Pick<Vma, 'dontCopy' | 'wipeOnFork'>>

const forkAdvice = new Map<number, OnFork>([
  [Advice.DONTFORK, { dontCopy: true }],
  [Advice.DOFORK, { dontCopy: false }],
  [Advice.WIPEONFORK, { wipeOnFork: true }],
  [Advice.KEEPONFORK, { wipeOnFork: false }],
])

/** What becomes of the mappings of a range in a child: a property of theirs, changed under mmap_lock for writing. */
function* adviseFork(process: Process, start: number, end: number, onFork: OnFork): KernelTask<number> {
  const files: OpenFile[] = []
  yield* process.mmapLock.writeLock()
  try {
    let at = start
    let hole = false
    for (const vma of process.vmas.within(start, end)) {
      if (vma.start > at) hole = true
      if (onFork.wipeOnFork && (vma.file || vma.shared)) throw new KernelError('EINVAL')
      const from = Math.max(start, vma.start)
      at = Math.min(end, vma.end)
      files.push(...process.vmas.change(from, at, onFork))
    }
    if (hole || at < end) throw new KernelError('ENOMEM')
  } finally {
    process.mmapLock.writeUnlock()
    for (const file of files) yield* file.put()
  }
  return 0
}

/** FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE. */
const REMOVE_MODE = 3

/**
 * madvise_populate: EINVAL where the mapping forbids the access, EHWPOISON at a page with a memory error, EFAULT where
 * the access would raise another signal.
 */
function* populate(process: Process, start: number, end: number, write: boolean): KernelTask<void> {
  for (let at = start; at < end; at += PAGE_SIZE) {
    const vma = process.vmas.find(at)
    if (!vma) throw new KernelError('ENOMEM')
    if (!(vma.prot & (write ? Prot.WRITE : Prot.READ)) || vma.file?.secret) throw new KernelError('EINVAL')
    const result = yield* process.access(at, write)
    if (typeof result !== 'number')
      throw new KernelError(result.code === 'BUS_MCEERR_AR' ? 'EHWPOISON' : 'EFAULT')
  }
}
