// The guest asks to share or unshare: the policy decides, KVM converts, and what lost its use is given back.

import { Errno, errnoName } from '../base/errno.ts'
import { SbiError } from '../hart/sbi.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { Asker } from '../trace/events.ts'
import type { Conversion } from './guest-ram.ts'
import type { KvmVmm } from './kvm-vmm.ts'
import type { VcpuLoopHooks } from './vcpu-hooks.ts'
import type { Vmm } from './vmm.ts'

/** Attempts at a conversion that fails for a page in use: transient references go by themselves. */
export const CONVERT_ATTEMPTS = 4

const RETRY: Step = { at: 'vmm/retry_conversion', resched: true }

const passes = (result: number): boolean => result === -Errno.EAGAIN || result === -Errno.EINTR

/** Converts for `asker` (Asker), and tries again while the kernel says that this may help. */
export function* convertPatiently(
  vmm: Vmm,
  asker: number,
  gpa: number,
  size: number,
  toPrivate: boolean,
): KernelTask<Conversion> {
  for (let attempt = 1; ; attempt++) {
    const done = yield* vmm.convert(asker, gpa, size, toPrivate)
    if (!passes(done.result) || attempt === CONVERT_ATTEMPTS) return done
    yield RETRY
  }
}

/**
 * Answers share or unshare of [gpa, gpa + size). Returns the SBI error: INVALID_ADDRESS when it is not all RAM; DENIED
 * when the policy refuses; FAILED when the kernel does, which for a page in use (EAGAIN) may change, so a guest may ask
 * again. `begun` is called before KVM is asked: from then until the guest knows, what it declares and what KVM has may
 * differ.
 */
export function* answerConversion(
  vmm: KvmVmm,
  hooks: VcpuLoopHooks,
  asked: { readonly vcpu: number; readonly gpa: number; readonly size: number; readonly share: boolean },
  begun: () => void,
): KernelTask<number> {
  const { vcpu, gpa, size, share } = asked
  // What is no RAM lies elsewhere in the VMM's address space, or nowhere.
  if (!vmm.memory.contains(gpa, size)) return SbiError.INVALID_ADDRESS
  if (!hooks.acceptsConversions()) {
    yield* vmm.traced(Asker.guest, gpa, size, !share, refuse())
    hooks.notices.refused(vcpu, gpa, size, share)
    return SbiError.DENIED
  }
  begun()
  const { result, gpa: page = gpa } = yield* convertPatiently(vmm, Asker.guest, gpa, size, !share)
  if (result < 0) {
    hooks.notices.blocked(vcpu, gpa, size, !share, errnoName(-result), page)
    return SbiError.FAILED
  }
  yield* vmm.memory.discard(gpa, size, !share)
  return SbiError.SUCCESS
}

// biome-ignore lint/correctness/useYield: the policy asks nobody
function* refuse(): KernelTask<Conversion> {
  return { result: -Errno.EPERM }
}
