// Memory failure: a frame's contents are lost, and nobody may see them again (mm/memory-failure.c, v7.2).
//
// The frame is marked, unmapped from every process (its next access there is SIGBUS, BUS_MCEERR_AR), and the file it
// belongs to is told. It keeps a reference of this path's, so it never returns to the free lists.

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { PageType, PG } from './folio-table.ts'
import type { Host } from './host.ts'
import type { KernelTask, Step } from './kernel-task.ts'
import type { Process } from './process.ts'
import { fileIndexAt } from './vma.ts'

/** A file as the owner of folios. */
export interface PageCache {
  /** The folio at a page index, or null. */
  folio(index: number): Pfn | null
  /** error_remove_folio: the folio at `index` has lost its contents; it is marked already. */
  removeFailed(index: number, pfn: Pfn): KernelTask<void>
}

const POISONED: Step = { at: 'memory_failure/poisoned' }

/**
 * memory_failure(). ENXIO: not a frame of memory; EHWPOISON: reported before; EBUSY: the kernel's own, a page table
 * among them, which cannot be given up.
 */
export function* memoryFailure(host: Host, frame: number): KernelTask<void> {
  const { folios, layout } = host.memory
  if (!Number.isInteger(frame) || frame < 0 || frame >= layout.frames) throw new KernelError('ENXIO')
  const pfn = frame as Pfn
  if (folios.has(pfn, PG.hwpoison)) throw new KernelError('EHWPOISON')
  const type = folios.type(pfn)
  switch (type) {
    case PageType.free:
    case PageType.anon:
    case PageType.file:
    case PageType.gmem:
      break
    default:
      throw new KernelError('EBUSY')
  }
  const index = folios.index[pfn]
  host.buddy.poison(pfn)
  host.trace('gmemscope_memory_failure', pfn, type, index)
  if (type === PageType.free) return
  // shake_folio: what only waits in a batch need not keep the frame.
  if (host.lru.references(pfn) > 0) yield* host.lru.drainAll()
  if (host.scheduler.stepping) yield POISONED
  // Again until nobody is left: a mapping that was undone may have been copied into a child meanwhile.
  for (let left = mappingsOf(host, pfn, index); left.length > 0; left = mappingsOf(host, pfn, index))
    for (const { process, page } of left)
      yield* process.notify(page * PAGE_SIZE, (page + 1) * PAGE_SIZE, () => {
        if (process.mappedFrame(page * PAGE_SIZE)?.pfn === pfn) process.pages.poison(page)
      })
  if (type === PageType.anon) return
  for (const cache of host.pageCaches)
    if (cache.folio(index) === pfn) {
      yield* cache.removeFailed(index, pfn)
      return
    }
}

interface Mapping {
  readonly process: Process
  /** hva / 4096. */
  readonly page: number
}

/**
 * The reverse map: where processes map a frame. Anonymous memory keeps its address in a child, so `index` is the page
 * in all of them; a file's frame is looked for in every mapping that reaches its index.
 */
const mappingsOf = (host: Host, pfn: Pfn, index: number): Mapping[] => {
  const found: Mapping[] = []
  const anonymous = host.memory.folios.type(pfn) === PageType.anon
  for (const process of host.processes) {
    const pages = anonymous
      ? [index]
      : process.vmas.all.flatMap((vma) => {
          const page = vma.start / PAGE_SIZE + index - fileIndexAt(vma, vma.start)
          return vma.file && page >= vma.start / PAGE_SIZE && page < vma.end / PAGE_SIZE ? [page] : []
        })
    for (const page of pages)
      if (process.mappedFrame(page * PAGE_SIZE)?.pfn === pfn) found.push({ process, page })
  }
  return found
}

/**
 * madvise(MADV_HWPOISON): memory_failure() of every page of [start, end), faulted in first. EPERM without privilege;
 * EFAULT, and what memoryFailure throws.
 */
export function* injectErrors(process: Process, start: number, end: number): KernelTask<void> {
  if (!process.privileged) throw new KernelError('EPERM')
  for (let at = start; at < end; at += PAGE_SIZE) {
    const { pfn } = yield* process.pin(at, false)
    try {
      yield* memoryFailure(process.host, pfn)
    } finally {
      process.host.buddy.put(pfn)
    }
  }
}
