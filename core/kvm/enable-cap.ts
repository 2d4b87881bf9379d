// KVM_ENABLE_CAP on a VM: capabilities that are off until asked for (kvm_vm_ioctl_enable_cap_generic, v7.2).

import { KernelError } from '../base/errno.ts'
import { hasUnknownBits } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { STAGE2_GFNS } from '../hart/stage2.ts'
import type { HostProfile } from './profiles.ts'
import {
  Cap,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_HC_MAP_GPA_RANGE,
} from './uapi.ts'
import type { EnableCapRequest } from './uapi-structs.ts'
import type { Vm } from './vm.ts'

/** What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 answers (KVM_DIRTY_LOG_MANUAL_CAPS). */
export const MANUAL_DIRTY_LOG_OPTIONS = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET
/** What KVM_CAP_EXIT_HYPERCALL answers (KVM_EXIT_HYPERCALL_VALID_MASK): a bit a hypercall. */
export const HYPERCALL_EXITS = 1 << KVM_HC_MAP_GPA_RANGE

/** KVM_CAP_RISCV_MP_STATE_RESET exists. */
export const hasMpStateReset = (profile: HostProfile): boolean => profile.riscv && profile.mpStateReset

/** KVM_CAP_GMEM_DOORBELL exists: where the guest declares what is private, and KVM keeps it. */
export const hasDoorbell = (vm: Vm | null): boolean => vm !== null && vm.declared !== null

/** EINVAL: flags, an option the capability does not have, a capability that cannot be enabled. */
export const enableCap = (vm: Vm, { cap, flags, argument }: EnableCapRequest): number => {
  if (flags !== 0) throw new KernelError('EINVAL')
  switch (cap) {
    case Cap.MANUAL_DIRTY_LOG_PROTECT2: {
      // INITIALLY_SET means nothing without the manual mode.
      const manual = argument % 2 === 1
      const allowed = manual ? MANUAL_DIRTY_LOG_OPTIONS : KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
      if (hasUnknownBits(argument, allowed)) throw new KernelError('EINVAL')
      vm.manualDirtyLogProtect = argument
      return 0
    }
    case Cap.EXIT_HYPERCALL:
      if (hasUnknownBits(argument, HYPERCALL_EXITS)) throw new KernelError('EINVAL')
      vm.hypercallExits = argument
      return 0
    case Cap.RISCV_MP_STATE_RESET:
      if (!hasMpStateReset(vm.profile)) throw new KernelError('EINVAL')
      vm.mpStateReset = true
      return 0
    case Cap.GMEM_DOORBELL:
      if (!hasDoorbell(vm) || argument % PAGE_SIZE !== 0 || argument >= STAGE2_GFNS * PAGE_SIZE)
        throw new KernelError('EINVAL')
      vm.doorbell = argument
      return 0
    default:
      throw new KernelError('EINVAL')
  }
}
