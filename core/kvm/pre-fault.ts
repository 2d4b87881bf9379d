// KVM_PRE_FAULT_MEMORY: maps guest memory before the guest touches it (kvm_vcpu_pre_fault_memory, virt/kvm/kvm_main.c
// and kvm_tdp_map_page, arch/x86/kvm/mmu/mmu.c, v7.2). RISC-V has it here only: upstream offers it on x86.

import { type ErrnoName, KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { gpa, PAGE_SIZE } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { INDEX_BITS } from '../riscv/pagetable.ts'
import { handleGuestFault } from './fault.ts'
import { KVM_MEMORY_EXIT_FLAG_PRIVATE } from './uapi.ts'
import type { PreFaultRequest } from './uapi-structs.ts'
import type { KvmVcpu } from './vcpu.ts'

/** What is left of a request, and the errno when nothing of it was done (null: success). */
export interface PreFaulted {
  readonly gpa: number
  readonly size: number
  readonly errno: ErrnoName | null
}

/**
 * Maps [gpa, gpa + size) as reads of the guest would, in whatever state its pages are. EINVAL: flags, alignment, empty
 * or wrapping range. EINTR: a signal; EOPNOTSUPP: shadow paging; ENOENT: no memory there; EAGAIN: the slot is being deleted or moved; EFAULT,
 * EHWPOISON, ENOMEM as the guest's fault. An error counts only when no page was mapped.
 */
export function* preFaultMemory(vcpu: KvmVcpu, request: PreFaultRequest): KernelTask<PreFaulted> {
  const refused = (errno: ErrnoName): PreFaulted => ({ gpa: request.gpa, size: request.size, errno })
  if (request.flags !== 0) return refused('EINVAL')
  if (!isPageAligned(request.gpa) || !isPageAligned(request.size)) return refused('EINVAL')
  if (request.size === 0 || request.gpa / PAGE_SIZE + request.size / PAGE_SIZE >= U64_PAGES)
    return refused('EINVAL')
  let done = 0
  let errno: ErrnoName | null = null
  const reader = vcpu.vm.srcu.lock()
  try {
    while (done < request.size)
      done += Math.min(request.size - done, yield* mapPage(vcpu, request.gpa + done))
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    errno = error.errno
  } finally {
    vcpu.vm.srcu.unlock(reader)
    vcpu.hart.takeSignal()
  }
  return { gpa: request.gpa + done, size: request.size - done, errno: done > 0 ? null : errno }
}

/** Bytes from `address` to the end of the leaf that now maps it. */
function* mapPage(vcpu: KvmVcpu, address: number): KernelTask<number> {
  const { vm } = vcpu
  const gfn = address / PAGE_SIZE
  for (;;) {
    if (vcpu.hart.signalPending) throw new KernelError('EINTR')
    if (!vm.profile.secondStagePaging) throw new KernelError('EOPNOTSUPP')
    const outcome = yield* handleGuestFault(vm, gpa(address), 'read')
    switch (outcome.kind) {
      case 'mmio':
        throw new KernelError('ENOENT')
      case 'memory_fault': {
        const flags = outcome.private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0
        vcpu.run.setMemoryFault(flags, outcome.gpa, outcome.size)
        throw new KernelError(outcome.errno)
      }
      case 'error':
        throw new KernelError(outcome.errno)
    }
    const leaf = vm.stage2.leaf(gfn)
    if (leaf) {
      const bytes = PAGE_SIZE * 2 ** (INDEX_BITS * leaf.level)
      return bytes - (address % bytes)
    }
    if (vm.slotOf(gfn)?.invalid) throw new KernelError('EAGAIN')
    // The fault lost a race: it is tried again when the invalidation is over.
    yield {
      at: 'kvm_tdp_map_page/retry',
      until: () => vcpu.hart.signalPending || !vm.invalidate.mayRetry(vm.invalidate.seq, gfn),
    }
  }
}
