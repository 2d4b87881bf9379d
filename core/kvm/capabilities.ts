// KVM_CHECK_EXTENSION: what a kernel with this profile says it can do. Unknown capabilities are 0, never an error.

import { supportedAttributes, supportedGmemAttributes } from './attributes.ts'
import { HYPERCALL_EXITS, hasDoorbell, hasMpStateReset, MANUAL_DIRTY_LOG_OPTIONS } from './enable-cap.ts'
import { gmemSlotsAllowed, supportedGmemFlags } from './gmem.ts'
import type { HostProfile } from './profiles.ts'
import { Cap } from './uapi.ts'
import type { Vm } from './vm.ts'

/** The answer on /dev/kvm (`vm` null) or on a VM fd. */
export const checkExtension = (profile: HostProfile, vm: Vm | null, capability: number): number => {
  switch (capability) {
    case Cap.USER_MEMORY:
    case Cap.USER_MEMORY2:
    case Cap.SYNC_MMU:
    case Cap.DESTROY_MEMORY_REGION_WORKS:
    case Cap.JOIN_MEMORY_REGIONS_WORKS:
    case Cap.INTERNAL_ERROR_DATA:
    case Cap.CHECK_EXTENSION_VM:
    case Cap.MEMORY_FAULT_INFO:
    case Cap.IMMEDIATE_EXIT:
    case Cap.MP_STATE:
    case Cap.ENABLE_CAP_VM:
    case Cap.SYSTEM_EVENT_DATA:
      return 1
    case Cap.ONE_REG:
      return profile.riscv ? 1 : 0
    case Cap.RISCV_MP_STATE_RESET:
      return hasMpStateReset(profile) ? 1 : 0
    case Cap.MANUAL_DIRTY_LOG_PROTECT2:
      return MANUAL_DIRTY_LOG_OPTIONS
    case Cap.EXIT_HYPERCALL:
      return HYPERCALL_EXITS
    case Cap.PRE_FAULT_MEMORY:
      return profile.preFault && profile.secondStagePaging ? 1 : 0
    case Cap.READONLY_MEM:
      return profile.readonlyMem ? 1 : 0
    case Cap.NR_MEMSLOTS:
      return profile.memslots
    case Cap.NR_VCPUS:
    case Cap.MAX_VCPUS:
    case Cap.MAX_VCPU_ID:
      return profile.maxVcpus
    case Cap.VM_GPA_BITS:
      return profile.vmGpaBitsCap
    case Cap.VM_TYPES:
      return profile.vmTypes.reduce((bits, { type }) => bits | (1 << type), 0)
    case Cap.MEMORY_ATTRIBUTES:
      return supportedAttributes(profile, vm)
    case Cap.GUEST_MEMFD_FLAGS:
      return supportedGmemFlags(profile, vm)
    case Cap.GUEST_MEMFD:
      return gmemSlotsAllowed(profile, vm) ? 1 : 0
    case Cap.GUEST_MEMFD_MEMORY_ATTRIBUTES:
      return supportedGmemAttributes(profile, vm)
    case Cap.GMEM_DOORBELL:
      return hasDoorbell(vm) ? 1 : 0
    default:
      return 0
  }
}
