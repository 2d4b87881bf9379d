// mmap, munmap, mprotect, mincore and mlock of a process, with the check order of mm/mmap.c and mm/mprotect.c (v6.18).

import { KernelError } from '../base/errno.ts'
import { asUnsigned, isPageAligned, S64_PAGES, U64_PAGES } from '../base/u64.ts'
import { type Hva, hva, PAGE_SIZE } from '../base/units.ts'
import { FileType, type OpenFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'
import { Memfd } from './memfd.ts'
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
const PROT_GROWSDOWN = 0x0100_0000
const PROT_GROWSUP = 0x0200_0000
const MMAP_BOTTOM = 0x10000
/** Kept free below the address limit: a stack, and half of what mmap_base may be moved by. */
const STACK_GAP = 2 ** 39

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
  let start: number
  let backing = file
  yield* process.mmapLock.writeLock()
  try {
    start = process.vmas.findHole(pages * PAGE_SIZE, MMAP_BOTTOM, process.addressLimit - STACK_GAP)
    if (start < 0) throw new KernelError('ENOMEM')
    const type = request.flags & MapFlag.TYPE
    if (file) checkFile(file, request, type, fileIndex, pages)
    else if (type !== MapFlag.SHARED && type !== MapFlag.PRIVATE) throw new KernelError('EINVAL')
    const shared = type !== MapFlag.PRIVATE
    // Shared memory without a file has one of its own, which children map too (shmem_zero_setup).
    if (shared) backing ??= Memfd.create(process, 'dev/zero', pages * PAGE_SIZE)
    const vma: Vma = {
      process,
      start,
      end: start + pages * PAGE_SIZE,
      prot: request.prot & (Prot.READ | Prot.WRITE | Prot.EXEC),
      mayProt: mayProt(file, shared),
      shared,
      file: backing,
      fileIndex: file ? fileIndex : 0,
      locked: (request.flags & MapFlag.LOCKED) !== 0 || (file?.secret ?? false),
      dontCopy: false,
      wipeOnFork: false,
      policy: null,
    }
    if (file) yield* file.mmap(vma)
    process.vmas.insert(vma)
  } finally {
    process.mmapLock.writeUnlock()
  }
  // The mapping has taken its reference.
  if (backing && !file) yield* backing.put()
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
  // file_mmap_ok: what is no regular file has no largest size.
  const limit = file.type === FileType.regular ? S64_PAGES : U64_PAGES
  if (fileIndex > limit - 1 - pages) throw new KernelError('EOVERFLOW')
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
    if (!vma || !(yield* populatePage(process, vma, at))) return
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
    process.vmas.unlink(removed)
  } finally {
    process.mmapLock.writeUnlock()
  }
  for (const file of files) yield* file.put()
  return 0
}

/** mprotect(2): EINVAL, ENOMEM (a hole), EACCES (more than the mapping may have). */
export function* mprotect(process: Process, start: number, length: number, prot: number): KernelTask<number> {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP) || !isPageAligned(start)) throw new KernelError('EINVAL')
  if (length === 0) return 0
  const end = start + pagesUp(length) * PAGE_SIZE
  if (end / PAGE_SIZE >= U64_PAGES) throw new KernelError('ENOMEM')
  if (prot & ~(grows | Prot.READ | Prot.WRITE | Prot.EXEC | PROT_SEM)) throw new KernelError('EINVAL')
  const wanted = prot & (Prot.READ | Prot.WRITE | Prot.EXEC)
  yield* process.mmapLock.writeLock()
  const files: OpenFile[] = []
  try {
    // No mapping here grows.
    if (grows && growable(process.vmas.within(start, end)[0], grows, start)) throw new KernelError('EINVAL')
    for (let at = start; at < end; ) {
      const vma = process.vmas.find(at)
      if (!vma) throw new KernelError('ENOMEM')
      if (wanted & ~vma.mayProt) throw new KernelError('EACCES')
      const to = Math.min(end, vma.end)
      if (vma.prot !== wanted) {
        files.push(...process.vmas.change(at, to, { prot: wanted }))
        const [first, last] = [at / PAGE_SIZE, to / PAGE_SIZE]
        yield* process.notify(at, to, () => process.pages.protect(first, last, wanted !== 0))
      }
      at = to
    }
  } finally {
    process.mmapLock.writeUnlock()
    for (const file of files) yield* file.put()
  }
  return 0
}

/** Whether the mapping is where PROT_GROWSDOWN or PROT_GROWSUP look for one that grows. */
const growable = (vma: Vma | undefined, grows: number, start: number): boolean =>
  vma !== undefined && (grows === PROT_GROWSDOWN || vma.start <= start)

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
      // Any entry counts, one for a page with a memory error too (mincore_pte_range).
      resident.push(
        process.pages.get(at / PAGE_SIZE) !== undefined ||
          (vma.file?.resident(fileIndexAt(vma, at)) ?? false),
      )
    }
  } finally {
    process.mmapLock.readUnlock()
  }
  return resident
}

/** mlock(2): marks the mappings, then faults their pages in. ENOMEM: a hole, or a page that cannot be had. */
export function* mlock(process: Process, start: number, length: number): KernelTask<number> {
  const first = Math.floor(start / PAGE_SIZE) * PAGE_SIZE
  const end = first + pagesUp(length + (start - first)) * PAGE_SIZE
  if (end / PAGE_SIZE >= U64_PAGES) throw new KernelError('EINVAL')
  const files: OpenFile[] = []
  yield* process.mmapLock.writeLock()
  try {
    for (let at = first; at < end; ) {
      const vma = process.vmas.find(at)
      // What comes before the hole stays locked.
      if (!vma) throw new KernelError('ENOMEM')
      const to = Math.min(end, vma.end)
      if (!vma.locked) files.push(...process.vmas.change(at, to, { locked: true }))
      at = to
    }
  } finally {
    process.mmapLock.writeUnlock()
    for (const file of files) yield* file.put()
  }
  for (let at = first; at < end; at += PAGE_SIZE) {
    const vma = process.vmas.find(at)
    if (!vma || !(yield* populatePage(process, vma, at))) throw new KernelError('ENOMEM')
  }
  return 0
}

/** populate_vma_page_range for one page; false: it cannot be had. */
function* populatePage(process: Process, vma: Vma, at: number): KernelTask<boolean> {
  if (vma.prot === 0 || vma.file?.secret) return false
  const write = !vma.shared && (vma.prot & Prot.WRITE) !== 0
  return typeof (yield* process.access(at, write)) === 'number'
}
