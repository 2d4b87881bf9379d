// Which kind of guest memory a VMM uses on a host: asked of the kernel by capability, as a VMM must.

import { GmemFlag } from '../gmem/inode.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Cap, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm } from '../kvm/uapi.ts'
import type { GuestMemory, MemoryOwner } from './guest-memory.ts'
import { InPlace } from './in-place.ts'
import { SharedMemory } from './shared-memory.ts'
import { TwoBackings } from './two-backings.ts'

/** Flags of a guest_memfd that serves as RAM by itself. */
const MAPPED_FILE = GmemFlag.MMAP | GmemFlag.INIT_SHARED

/**
 * Private RAM: converted in place where the file's attributes can be PRIVATE, else in two backings. Shared RAM: a
 * file where it can be mapped and start shared (Linux 6.18), else plain memory.
 */
export function* chooseMemory(owner: MemoryOwner, isPrivate: boolean): KernelTask<GuestMemory> {
  const ask = (capability: number): KernelTask<number> =>
    owner.syscalls.ioctl(owner.vmFd, Kvm.CHECK_EXTENSION, capability)
  if (!isPrivate) {
    const flags = yield* ask(Cap.GUEST_MEMFD_FLAGS)
    return new SharedMemory(owner, (flags & MAPPED_FILE) === MAPPED_FILE)
  }
  const inPlace = yield* ask(Cap.GUEST_MEMFD_MEMORY_ATTRIBUTES)
  return inPlace & KVM_MEMORY_ATTRIBUTE_PRIVATE ? new InPlace(owner) : new TwoBackings(owner)
}
