// Gunyah's side of guest memory files: creating one, and what the core asks when pages change hands (guest_memfd.c, v17).

import { KernelError } from '../base/errno.ts'
import { hasUnknownBits, isPageAligned } from '../base/u64.ts'
import type { Pfn } from '../base/units.ts'
import { GmemFile } from '../gmem/file.ts'
import type { StoreKind } from '../gmem/folio-store.ts'
import { GmemFlag, GmemInode } from '../gmem/inode.ts'
import type { GmemOperations, Invalidation } from '../gmem/operations.ts'
import { anonInodeFs } from '../host/file.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { Binding } from './binding.ts'
import { provideFolio, reclaimGfn, reclaimRange } from './paging.ts'
import { type CreateMemArgs, GuestMemFlag } from './uapi.ts'

const KNOWN_FLAGS = GuestMemFlag.CLOEXEC | GuestMemFlag.ALLOW_HUGEPAGE

/** How Gunyah's guest memory is kept; the same choices as KVM's. */
export interface GuestMemParameters {
  readonly gmemStore: StoreKind
  readonly gmemLargeFolios: boolean
}

/** GUNYAH_CREATE_GUEST_MEM: a descriptor. EINVAL: the size, then flags; EMFILE. Nothing ties the file to a VM. */
export const createGuestMem = (
  process: Process,
  operations: GmemOperations<Binding>,
  { flags, size }: CreateMemArgs,
  parameters: GuestMemParameters,
): number => {
  if (!isPageAligned(size)) throw new KernelError('EINVAL')
  if (hasUnknownBits(flags, KNOWN_FLAGS)) throw new KernelError('EINVAL')
  process.fds.reserve()
  // The host may map any file, and touch what it has not lent.
  const inode = new GmemInode(process.host, size, GmemFlag.MMAP | GmemFlag.INIT_SHARED, {
    vmRow: -1,
    fileSystem: anonInodeFs,
    name: 'anon_inode:[gh-gmem]',
    store: parameters.gmemStore,
    largeFolios: false,
    inPlace: false,
  })
  const file = new GmemFile<Binding>(inode, operations)
  return process.fds.install(file, (flags & GuestMemFlag.CLOEXEC) !== 0)
}

export class GunyahGuestMem implements GmemOperations<Binding> {
  readonly #host: Host

  constructor(host: Host) {
    this.#host = host
  }

  /** gunyah_gmem_launder_folio for every page: taken from the guests, or the folio stays. */
  *invalidateBegin(view: GmemFile<Binding>, start: number, end: number): KernelTask<Invalidation> {
    const kept = new Set<number>()
    let errno: KernelError['errno'] = 'EINVAL'
    let zapped = 0
    for (const [binding, from, to] of boundRanges(view, start, end))
      for (const gfn of binding.vm.providedGfns(binding.gfnOf(from), binding.gfnOf(to))) {
        try {
          yield* reclaimGfn(binding.vm, gfn)
          zapped++
        } catch (error) {
          if (!(error instanceof KernelError)) throw error
          errno = error.errno
          kept.add(binding.fileIndexOf(gfn))
        }
      }
    return kept.size > 0 ? { zapped, kept: { errno, indexes: kept } } : { zapped }
  }

  /** The folio lock, not a sequence, keeps faults out: nothing is left to end. */
  *invalidateEnd(): KernelTask<void> {}

  /** gunyah_vm_provide_folio. */
  *prepareInaccessible(view: GmemFile<Binding>, index: number, pfn: Pfn, binding: Binding): KernelTask<void> {
    if (binding.lend && mappedByHost(view, this.#host, index, pfn)) throw new KernelError('EPERM')
    yield* provideFolio(binding.vm, binding.gfnOf(index), pfn, !binding.lend, binding.writable)
  }

  /** gunyah_gmem_mmap and gunyah_gmem_host_fault: what is lent is taken back first, if the hypervisor lets it. */
  *prepareAccessible(view: GmemFile<Binding>, start: number, end: number): KernelTask<void> {
    for (const [binding, from, to] of boundRanges(view, start, end))
      if (binding.lend) yield* reclaimRange(binding.vm, binding.gfnOf(from), binding.gfnOf(to), 'lent')
  }

  /** Every binding holds the file, so none is left. */
  *release(view: GmemFile<Binding>): KernelTask<void> {
    yield* view.teardown()
  }
}

/** The bindings that show pages [start, end) of the file, with the part of it that each shows. */
const boundRanges = (
  view: GmemFile<Binding>,
  start: number,
  end: number,
): [binding: Binding, from: number, to: number][] => {
  const ranges: [Binding, number, number][] = []
  view.bindings.forRange(start, end, (binding) => {
    if (ranges.at(-1)?.[0] === binding) return
    const last = binding.fileIndex + binding.pages
    ranges.push([binding, Math.max(start, binding.fileIndex), Math.min(end, last)])
  })
  return ranges
}

/** folio_mapped || folio_mmapped: a process of the host maps the page, or has a mapping that covers it. */
const mappedByHost = (view: GmemFile<Binding>, host: Host, index: number, pfn: Pfn): boolean => {
  if (host.memory.folios.mapcount[pfn] > 0) return true
  for (const vma of view.mappings) {
    const pages = (vma.end - vma.start) / 4096
    if (index >= vma.fileIndex && index < vma.fileIndex + pages) return true
  }
  return false
}
