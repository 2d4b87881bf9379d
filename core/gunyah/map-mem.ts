// GUNYAH_VM_MAP_MEM: binding a range of a guest memory file to guest addresses, and undoing it
// (gunyah_gmem_modify_mapping and what it calls, guest_memfd.c, v17).
//
// As documented, a bad descriptor is EINVAL, nothing checks the file's size or that the addresses wrap, and a page of a
// file is at one guest address of one VM only.

import { KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { GmemFile } from '../gmem/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { Binding } from './binding.ts'
import { reclaimRange } from './paging.ts'
import { ALLOW_RWX, type MapMemArgs, MemFlag } from './uapi.ts'
import type { GunyahVm } from './vm.ts'

const KNOWN_FLAGS = ALLOW_RWX | MemFlag.UNMAP | MemFlag.ACCESS_MASK

export function* mapMem(vm: GunyahVm, process: Process, args: MapMemArgs): KernelTask<void> {
  const file = guestMemOf(vm, process, args.fd)
  const access = args.flags & MemFlag.ACCESS_MASK
  if (args.flags & ~KNOWN_FLAGS || !(args.flags & ALLOW_RWX)) throw new KernelError('EINVAL')
  if (access !== 0 && access !== MemFlag.FORCE_LEND && access !== MemFlag.FORCE_SHARE)
    throw new KernelError('EINVAL')
  if (![args.guestAddr, args.offset, args.size].every(isPageAligned)) throw new KernelError('EINVAL')
  const range = {
    gfn: args.guestAddr / PAGE_SIZE,
    index: args.offset / PAGE_SIZE,
    pages: args.size / PAGE_SIZE,
    flags: args.flags & ~MemFlag.UNMAP,
  }
  yield* vm.bindingsLock.writeLock()
  try {
    if (args.flags & MemFlag.UNMAP) yield* unmap(vm, file, range)
    else yield* add(vm, file, range)
  } finally {
    vm.bindingsLock.writeUnlock()
  }
}

interface Range {
  readonly gfn: number
  readonly index: number
  readonly pages: number
  readonly flags: number
}

/** fget, and the file's operations: EINVAL for both. */
const guestMemOf = (vm: GunyahVm, process: Process, fd: number): GmemFile<Binding> => {
  const file = process.fds.lookup(fd)
  if (!(file instanceof GmemFile) || file.operations !== vm.system.guestMem) throw new KernelError('EINVAL')
  return file
}

/** gunyah_gmem_add_mapping. EINVAL: a lend where the host cannot unmap single pages from its direct map. EEXIST. */
function* add(vm: GunyahVm, file: GmemFile<Binding>, range: Range): KernelTask<void> {
  const binding = new Binding(vm, file, vm.nextBinding(), range)
  if (binding.lend && !vm.system.parameters.directMapPages) throw new KernelError('EINVAL')
  const { gfn, index, pages } = range
  // An empty range overlaps nothing, and the tree of the guest's addresses has no place for one.
  if (pages === 0) throw new KernelError('EINVAL')
  // What no tree can hold wraps, which the posted series does not refuse: nothing can be there.
  if (gfn + pages > U64_PAGES || index + pages > U64_PAGES) throw new KernelError('EINVAL')
  if (!(yield* file.bind(index, index + pages, binding))) throw new KernelError('EEXIST')
  if (vm.bindings.find(gfn, gfn + pages) !== undefined) {
    yield* file.unbind(index, index + pages)
    throw new KernelError('EEXIST')
  }
  file.get()
  vm.addBinding(binding)
}

/**
 * gunyah_gmem_remove_mapping: what is removed must lie in one binding of the same VM, file and flags, at the same place
 * in the file: ENOENT. A hole in the middle is EINVAL. What a guest will not give back keeps its binding.
 */
function* unmap(vm: GunyahVm, file: GmemFile<Binding>, range: Range): KernelTask<void> {
  const end = range.gfn + range.pages
  const binding = vm.bindings.get(range.gfn)
  if (!binding || binding.gmem !== file || binding.flags !== range.flags || end > binding.endGfn)
    throw new KernelError('ENOENT')
  const before = range.gfn - binding.baseGfn
  const after = binding.endGfn - end
  if (range.index - binding.fileIndex !== before) throw new KernelError('ENOENT')
  if (before > 0 && after > 0) throw new KernelError('EINVAL')
  yield* file.inode.invalidateLock.writeLock()
  try {
    yield* reclaimRange(vm, range.gfn, end, 'all')
    file.bindings.store(range.index, range.index + range.pages, undefined)
  } finally {
    file.inode.invalidateLock.writeUnlock()
  }
  vm.trimBinding(binding, range.gfn, end)
  if (binding.pages === 0) yield* file.put()
}
