// mmap, munmap, mprotect, mincore and mlock of a process, with the check order of mm/mmap.c and mm/mprotect.c (v6.18).

import { KernelError } from '../base/errno.ts'
import { asUnsigned, isPageAligned, S64_PAGES, U64_PAGES } from '../base/u64.ts'
import { type Hva, hva, PAGE_SIZE } from '../base/units.ts'
import type { OpenFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'
import { fileIndexAt, Prot, type Vma } from './vma.ts'

/** Flags of mmap(2) (asm-generic/mman.h). */
export const MapFlag = {
  SHARED: 0x01,
  PRIVATE: 0x02,
  SHARED_VALIDATE: 0x03,
  TYPE: 0x0f,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  GROWSDOWN: 0x100,
  DENYWRITE: 0x800,
  EXECUTABLE: 0x1000,
  LOCKED: 0x2000,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  NONBLOCK: 0x10000,
  STACK: 0x20000,
  HUGETLB: 0x40000,
  SYNC: 0x80000,
} as const

/** Flags that MAP_SHARED_VALIDATE accepts from any file (LEGACY_MAP_MASK). */
const LEGACY_MAP_MASK =
  MapFlag.SHARED |
  MapFlag.PRIVATE |
  MapFlag.FIXED |
  MapFlag.ANONYMOUS |
  MapFlag.DENYWRITE |
  MapFlag.EXECUTABLE |
  0x40 | // MAP_32BIT
  MapFlag.GROWSDOWN |
  MapFlag.LOCKED |
  MapFlag.NORESERVE |
  MapFlag.POPULATE |
  MapFlag.NONBLOCK |
  MapFlag.STACK |
  MapFlag.HUGETLB

/** Accepted and without meaning (asm-generic/mman-common.h). */
const PROT_SEM = 8
const MMAP_BOTTOM = 0x10000
/** Kept free below the address limit for a stack, as mmap_base leaves it. */
const STACK_GAP = 128 * 2 ** 20

const pagesUp = (length: number): number => Math.ceil(length / PAGE_SIZE)

/** Lengths are u64, offsets s64 (see base/u64.ts). The address is the kernel's choice. */
export interface MmapRequest {
  readonly length: number
  readonly prot: number
  readonly flags: number
  /** null: MAP_ANONYMOUS. */
  readonly fd: number | null
  readonly offset: number
}

/** Maps; returns the start. Errors: EINVAL, EBADF, ENOMEM, EOVERFLOW, EOPNOTSUPP, EACCES, EPERM, ENODEV. */
export function* mmap(process: Process, request: MmapRequest): KernelTask<Hva> {
  const offset = asUnsigned(request.offset)
  if (!isPageAligned(offset)) throw new KernelError('EINVAL')
  const file = request.fd === null ? null : process.fds.get(request.fd).get()
  try {
    return yield* mapFile(process, request, file, offset)
  } finally {
    if (file) yield* file.put()
  }
}

/** do_mmap; the caller holds a reference to the file. */
function* mapFile(
  process: Process,
  request: MmapRequest,
  file: OpenFile | null,
  offset: number,
): KernelTask<Hva> {
  if (request.flags & MapFlag.HUGETLB) throw new KernelError(file ? 'EINVAL' : 'ENOMEM')
  if (request.length === 0) throw new KernelError('EINVAL')
  const pages = pagesUp(request.length)
  if (pages >= U64_PAGES) throw new KernelError('ENOMEM')
  const fileIndex = offset / PAGE_SIZE
  if (fileIndex + pages > U64_PAGES) throw new KernelError('EOVERFLOW')
  let start: number
  yield* process.mmapLock.writeLock()
  try {
    start = process.vmas.findHole(pages * PAGE_SIZE, MMAP_BOTTOM, process.addressLimit - STACK_GAP)
    if (start < 0) throw new KernelError('ENOMEM')
    const type = request.flags & MapFlag.TYPE
    if (file) checkFile(file, request, type, fileIndex, pages)
    else if (type !== MapFlag.SHARED && type !== MapFlag.PRIVATE) throw new KernelError('EINVAL')
    const shared = type !== MapFlag.PRIVATE
    const vma: Vma = {
      process,
      start,
      end: start + pages * PAGE_SIZE,
      prot: request.prot & (Prot.READ | Prot.WRITE | Prot.EXEC),
      mayProt: mayProt(file, shared),
      shared,
      file,
      fileIndex: file ? fileIndex : 0,
      locked: (request.flags & MapFlag.LOCKED) !== 0,
    }
    file?.mmap(vma)
    process.vmas.insert(vma)
  } finally {
    process.mmapLock.writeUnlock()
  }
  const populate =
    (request.flags & (MapFlag.POPULATE | MapFlag.NONBLOCK)) === MapFlag.POPULATE ||
    request.flags & MapFlag.LOCKED
  if (populate) yield* populateRange(process, start, start + pages * PAGE_SIZE)
  return hva(start)
}

/** do_mmap's checks of a file mapping. */
const checkFile = (
  file: OpenFile,
  request: MmapRequest,
  type: number,
  fileIndex: number,
  pages: number,
): void => {
  if (fileIndex > S64_PAGES - 1 - pages) throw new KernelError('EOVERFLOW')
  switch (type) {
    case MapFlag.SHARED:
    case MapFlag.SHARED_VALIDATE:
      if (type === MapFlag.SHARED_VALIDATE && request.flags & ~LEGACY_MAP_MASK)
        throw new KernelError('EOPNOTSUPP')
      if (request.prot & Prot.WRITE && !file.writable) throw new KernelError('EACCES')
      break
    case MapFlag.PRIVATE:
      break
    default:
      throw new KernelError('EINVAL')
  }
  if (!file.readable) throw new KernelError('EACCES')
  if (request.prot & Prot.EXEC && file.inode.fileSystem.noExec) throw new KernelError('EPERM')
  if (!file.mappable) throw new KernelError('ENODEV')
  if (request.flags & MapFlag.GROWSDOWN) throw new KernelError('EINVAL')
}

const mayProt = (file: OpenFile | null, shared: boolean): number => {
  let may = Prot.READ | Prot.WRITE | Prot.EXEC
  if (file?.inode.fileSystem.noExec) may &= ~Prot.EXEC
  if (file && shared && !file.writable) may &= ~Prot.WRITE
  return may
}

/** Faults every page of a range in, ignoring failures (MAP_POPULATE, MAP_LOCKED). */
function* populateRange(process: Process, start: number, end: number): KernelTask<void> {
  for (let at = start; at < end; at += PAGE_SIZE) {
    const vma = process.vmas.find(at)
    if (!vma || vma.prot === 0) return
    const result = yield* process.access(at, (vma.prot & Prot.WRITE) !== 0)
    if (typeof result !== 'number') return
  }
}

/** munmap(2). EINVAL for a bad range; unmapped parts are no error. */
export function* munmap(process: Process, start: number, length: number): KernelTask<number> {
  const end = start + pagesUp(length) * PAGE_SIZE
  if (!isPageAligned(start) || end > process.addressLimit || start >= end) throw new KernelError('EINVAL')
  yield* process.mmapLock.writeLock()
  const { removed, files } = process.vmas.remove(start, end)
  try {
    for (const vma of removed) yield* process.zap(vma.start, vma.end)
  } finally {
    process.mmapLock.writeUnlock()
  }
  for (const file of files) yield* file.put()
  return 0
}

/** mprotect(2): EINVAL, ENOMEM (a hole), EACCES (more than the mapping may have). */
export function* mprotect(process: Process, start: number, length: number, prot: number): KernelTask<number> {
  if (!isPageAligned(start)) throw new KernelError('EINVAL')
  if (length === 0) return 0
  const end = start + pagesUp(length) * PAGE_SIZE
  if (end / PAGE_SIZE >= U64_PAGES) throw new KernelError('ENOMEM')
  if (prot & ~(Prot.READ | Prot.WRITE | Prot.EXEC | PROT_SEM)) throw new KernelError('EINVAL')
  yield* process.mmapLock.writeLock()
  const files: OpenFile[] = []
  try {
    for (let at = start; at < end; ) {
      const vma = process.vmas.find(at)
      if (!vma) throw new KernelError('ENOMEM')
      if (prot & ~vma.mayProt) throw new KernelError('EACCES')
      const to = Math.min(end, vma.end)
      const cut = process.vmas.remove(at, to)
      files.push(...cut.files)
      for (const part of cut.removed) process.vmas.insert({ ...part, prot: prot & ~PROT_SEM })
      // An entry without any access is dropped: the next access faults and finds the mapping's protection.
      yield* process.notify(at, to, () =>
        prot === 0 ? process.zapNow(at, to) : process.writeProtectNow(at, to),
      )
      at = to
    }
  } finally {
    process.mmapLock.writeUnlock()
    for (const file of files) yield* file.put()
  }
  return 0
}

/** mincore(2): a flag per page. ENOMEM when a page is not mapped. */
export function* mincore(process: Process, start: number, length: number): KernelTask<boolean[]> {
  if (!isPageAligned(start)) throw new KernelError('EINVAL')
  const resident: boolean[] = []
  yield* process.mmapLock.readLock()
  try {
    for (let page = 0; page < pagesUp(length); page++) {
      const at = start + page * PAGE_SIZE
      const vma = process.vmas.find(at)
      if (!vma) throw new KernelError('ENOMEM')
      resident.push(process.mappedFrame(at) !== null || (vma.file?.resident(fileIndexAt(vma, at)) ?? false))
    }
  } finally {
    process.mmapLock.readUnlock()
  }
  return resident
}

/** mlock(2) of a range: faults it in; ENOMEM when a page is missing or cannot be had. */
export function* mlock(process: Process, start: number, length: number): KernelTask<number> {
  for (let at = start; at < start + length; at += PAGE_SIZE) {
    const vma = process.vmas.find(at)
    if (!vma) throw new KernelError('ENOMEM')
    const result = yield* process.access(at, (vma.prot & Prot.WRITE) !== 0)
    if (typeof result !== 'number') throw new KernelError('ENOMEM')
  }
  return 0
}
