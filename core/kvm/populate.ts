// Initial private contents: a project-own VM ioctl with the algorithm of kvm_gmem_populate (v7.2).
//
// Upstream only SNP and TDX launch commands populate; a software-protected RISC-V VM gets the same through
// KVM_GMEM_POPULATE (number 0xfe, which Linux does not use). Every gfn must be private, else EINVAL; what was
// done before an error stays and is reported by the advanced gpa, size and source.

import { type ErrnoName, KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
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
 * private memory, a gfn that is not private or has no guest_memfd. EFAULT: source not readable.
 */
export function* populateGmem(vm: Vm, process: Process, request: GmemPopulate): KernelTask<Populated> {
  const { gpa, size, source } = request
  if (request.flags !== 0 || !vm.hasPrivateMemory) throw new KernelError('EINVAL')
  if (!isPageAligned(gpa) || !isPageAligned(size) || !isPageAligned(source)) throw new KernelError('EINVAL')
  if (size === 0 || gpa / PAGE_SIZE + size / PAGE_SIZE >= U64_PAGES) throw new KernelError('EINVAL')
  yield* vm.slotsLock.lock()
  let done = 0
  let errno: ErrnoName | null = null
  try {
    for (; done < size; done += PAGE_SIZE)
      yield* populatePage(vm, process, gpa / PAGE_SIZE + done / PAGE_SIZE, source + done)
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    errno = error.errno
  } finally {
    vm.slotsLock.unlock()
  }
  return { left: { gpa: gpa + done, size: size - done, source: source + done, flags: 0 }, errno }
}

function* populatePage(vm: Vm, process: Process, gfn: number, source: number): KernelTask<void> {
  const slot = vm.slotOf(gfn)
  if (!slot?.gmem) throw new KernelError('EINVAL')
  const { buddy, memory } = vm.host
  const from = yield* process.pin(source, false)
  try {
    const { gmem } = slot
    yield* gmem.inode.invalidateLock.writeLock()
    try {
      if (!isPrivateGfn(vm, gfn)) throw new KernelError('EINVAL')
      const index = slot.fileIndexOf(gfn)
      const to = yield* gmem.getPfn(index, slot)
      memory.frame(to).set(memory.frame(from.pfn))
      buddy.put(to)
      vm.host.trace('kvm_gmem_populate', gmem.inode.row, index, 1)
    } finally {
      gmem.inode.invalidateLock.writeUnlock()
    }
  } finally {
    buddy.put(from.pfn)
  }
}
