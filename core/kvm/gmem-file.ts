// The guest_memfd descriptor's ioctls (kvm_gmem_ioctl, linux-next of September 2026): converting pages in place.

import { Errno, KernelError } from '../base/errno.ts'
import { hasUnknownBits, isPageAligned, pageOfSum, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import type { PageStates } from '../gmem/attributes.ts'
import { convertPages } from '../gmem/convert.ts'
import type { GmemFile } from '../gmem/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { copyFromUser, copyToUser, type UserArgument } from '../host/user-argument.ts'
import { supportedGmemAttributes } from './attributes.ts'
import type { Memslot } from './memslot.ts'
import {
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MEMORY_ATTRIBUTES2_SIZE,
  type MemoryAttributes2,
  readMemoryAttributes2,
  writeErrorOffset,
} from './uapi.ts'
import type { Vm } from './vm.ts'

/** ENOTTY: unknown, or attributes belong to the VM. Any process that has the descriptor may call it. */
export function* gmemIoctl(
  vm: Vm,
  file: GmemFile<Memslot>,
  process: Process,
  number: number,
  argument: UserArgument,
): KernelTask<number> {
  const { states } = file.inode
  if (number !== Kvm.SET_MEMORY_ATTRIBUTES2 || !states) throw new KernelError('ENOTTY')
  const view = yield* copyFromUser(process, argument, MEMORY_ATTRIBUTES2_SIZE)
  const request = readMemoryAttributes2(view)
  checkRequest(vm, file, request)
  const refusal = yield* setPageStates(file, states, request)
  if (!refusal) return 0
  // Only these late errors name a place.
  writeErrorOffset(view, refusal.index * PAGE_SIZE)
  yield* copyToUser(process, argument, view)
  return -Errno[refusal.errno]
}

/** EINVAL: flags, reserved words, no private memory, unknown attributes, bad or outside range. */
const checkRequest = (vm: Vm, file: GmemFile<Memslot>, request: MemoryAttributes2): void => {
  const { offset, size } = request
  const pages = pageOfSum(offset, size)
  if (request.flags !== 0 || request.reserved || !vm.hasPrivateMemory) throw new KernelError('EINVAL')
  if (hasUnknownBits(request.attributes, supportedGmemAttributes(vm.profile, vm)))
    throw new KernelError('EINVAL')
  if (size === 0 || pages >= U64_PAGES) throw new KernelError('EINVAL')
  if (!isPageAligned(offset) || !isPageAligned(size)) throw new KernelError('EINVAL')
  if (offset >= file.inode.size || pages > file.inode.pages) throw new KernelError('EINVAL')
}

const setPageStates = (file: GmemFile<Memslot>, states: PageStates, request: MemoryAttributes2) => {
  const start = request.offset / PAGE_SIZE
  const end = start + request.size / PAGE_SIZE
  const to = request.attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE ? 'private' : 'shared'
  return convertPages(file.inode, states, start, end, to)
}
