// Multiprocessing states of a vCPU (KVM_GET_MP_STATE, KVM_SET_MP_STATE); RISC-V has these.

export const MpState = {
  RUNNABLE: 0,
  /** No state: a request for a reset. */ INIT_RECEIVED: 2,
  STOPPED: 5,
  SUSPENDED: 10,
} as const
