// SBI numbers (RISC-V SBI 3.0; CoVE guest extension of the riscv-ap-tee draft, December 2025).

/** Extension ids (a7). */
export const SbiExtension = {
  BASE: 0x10,
  TIME: 0x54494d45,
  IPI: 0x735049,
  RFENCE: 0x52464e43,
  HSM: 0x48534d,
  SRST: 0x53525354,
  DBCN: 0x4442434e,
  /** CoVE guest: share and unshare memory. Upstream KVM does not forward it; the software-protected VM does. */
  COVG: 0x434f5647,
  /**
   * Project-own: KVM's hypercalls, which RISC-V has no instruction for. SBI keeps 0x0A000000 to 0x0AFFFFFF for the
   * firmware, its implementation id in the low bits; KVM's is 3, which BASE tells the guest, and KVM gives the id no
   * meaning. The function id is the hypercall's number, a0 to a3 are its arguments, a0 is its answer as on x86.
   */
  KVM_HYPERCALL: 0x0a000003,
} as const

/** Error codes (a0). */
export const SbiError = {
  SUCCESS: 0,
  FAILED: -1,
  NOT_SUPPORTED: -2,
  INVALID_PARAM: -3,
  DENIED: -4,
  INVALID_ADDRESS: -5,
  ALREADY_AVAILABLE: -6,
  ALREADY_STARTED: -7,
  ALREADY_STOPPED: -8,
} as const

export const SbiBase = {
  SPEC_VERSION: 0,
  IMPL_ID: 1,
  IMPL_VERSION: 2,
  PROBE: 3,
  MVENDORID: 4,
  MARCHID: 5,
  MIMPID: 6,
} as const
export const SbiRfence = { FENCE_I: 0, SFENCE_VMA: 1, SFENCE_VMA_ASID: 2 } as const
export const SbiHsm = { START: 0, STOP: 1, STATUS: 2, SUSPEND: 3 } as const
export const SbiHsmState = { STARTED: 0, STOPPED: 1 } as const
export const SbiSrst = { SHUTDOWN: 0, COLD_REBOOT: 1, WARM_REBOOT: 2 } as const
export const SbiDbcn = { WRITE: 0, READ: 1, WRITE_BYTE: 2 } as const
export const SbiCovg = { SHARE: 2, UNSHARE: 3 } as const

/**
 * Extensions that not every vCPU has, bits of Vcpu.SBI_FORWARD. KVM forwards DBCN and COVG to the VMM
 * (KVM_EXIT_RISCV_SBI), which enables them first; its hypercalls are always there, as the instruction is on x86, and
 * one that is not enabled answers ENOSYS.
 */
export const SbiForward = { DBCN: 1 << 0, COVG: 1 << 1, HYPERCALL: 1 << 2 } as const

/** SBI 3.0, as BASE spec_version reports it. */
export const SBI_SPEC_VERSION = 0x03000000
/** Registers of the calling convention. */
export const SBI_A0 = 10
export const SBI_A1 = 11
export const SBI_FID = 16
export const SBI_EID = 17
