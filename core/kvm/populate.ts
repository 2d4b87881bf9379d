// Initial private contents: a project-own VM ioctl with the algorithm of kvm_gmem_populate (v7.2).
//
// Upstream only SNP and TDX launch commands populate; a software-protected RISC-V VM gets the same through
// KVM_GMEM_POPULATE (number 0xfe, which Linux does not use). Every gfn must be private, else EINVAL; what was
// done before an error stays and is reported by the advanced gpa, size and source.

import { type ErrnoName, KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { HostMemory } from '../host/host-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { isPrivateGfn } from './attributes.ts'
import type { GmemPopulate } from './uapi.ts'
import type { Vm } from './vm.ts'

/** What is left to do, and why it stopped (null: done). */
export interface Populated {
  readonly left: GmemPopulate
  readonly errno: ErrnoName | null
}

/**
 * Copies `size` bytes (pages) from the process into private guest memory. EINVAL: flags, alignment, wrap, no
 * private memory, a gfn that is not private or has no guest_memfd. EFAULT: source not readable. What a page that
 * has contents answers, and whether the source must be aligned, is the profile's. Where memory is converted in
 * place source 0 means that the contents are there already, written while the page was shared.
 */
export function* populateGmem(vm: Vm, process: Process, request: GmemPopulate): KernelTask<Populated> {
  const { gpa, size, source } = request
  if (request.flags !== 0 || !vm.hasPrivateMemory) throw new KernelError('EINVAL')
  if (!isPageAligned(gpa) || !isPageAligned(size)) throw new KernelError('EINVAL')
  if (vm.profile.populateAligned && !isPageAligned(source)) throw new KernelError('EINVAL')
  if (size === 0 || gpa / PAGE_SIZE + size / PAGE_SIZE >= U64_PAGES) throw new KernelError('EINVAL')
  const inPlace = vm.profile.inPlaceConversion && source === 0
  yield* vm.slotsLock.lock()
  let done = 0
  let errno: ErrnoName | null = null
  try {
    for (; done < size; done += PAGE_SIZE)
      yield* populatePage(vm, process, (gpa + done) / PAGE_SIZE, inPlace ? null : source + done)
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    errno = error.errno
  } finally {
    vm.slotsLock.unlock()
  }
  const left = { gpa: gpa + done, size: size - done, source: inPlace ? 0 : source + done, flags: 0 }
  return { left, errno }
}

/** `source` null: the page's own contents. */
function* populatePage(vm: Vm, process: Process, gfn: number, source: number | null): KernelTask<void> {
  const slot = vm.slotOf(gfn)
  if (!slot?.gmem) throw new KernelError('EINVAL')
  const { buddy, memory } = vm.host
  const from: Pfn[] = []
  try {
    if (source !== null)
      for (let at = source; at < source + PAGE_SIZE; at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE)
        from.push((yield* process.pin(at, false)).pfn)
    const { gmem } = slot
    yield* gmem.inode.invalidateLock.writeLock()
    try {
      if (!isPrivateGfn(vm, gfn)) throw new KernelError('EINVAL')
      const index = slot.fileIndexOf(gfn)
      const { populateTouched } = vm.profile
      if (populateTouched && gmem.resident(index)) throw new KernelError(populateTouched)
      // Only small folios tell which page has contents.
      if (populateTouched && gmem.inode.large && gmem.inode.folioOrCreate(index) >= 0)
        gmem.inode.large.split(index, index + 1)
      const to = yield* gmem.getPfn(index, slot)
      if (source !== null) copyPage(memory, from, source % PAGE_SIZE, to)
      buddy.put(to)
      vm.host.trace('kvm_gmem_populate', gmem.inode.row, index, 1)
    } finally {
      gmem.inode.invalidateLock.writeUnlock()
    }
  } finally {
    for (const pfn of from) buddy.put(pfn)
  }
}

/** Copies a page that starts at `offset` in the first frame and ends in the second, if there is one. */
const copyPage = (memory: HostMemory, from: readonly Pfn[], offset: number, to: Pfn): void => {
  const target = memory.frame(to)
  target.set(memory.frame(from[0]).subarray(offset))
  if (offset > 0) target.set(memory.frame(from[1]).subarray(0, offset), PAGE_SIZE - offset)
}
