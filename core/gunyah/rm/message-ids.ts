// Message ids of the Resource Manager's RPC (rsc_mgr_rpc.c of the posted series, v17, and the RM's own list).

/** Calls. */
export const RmMessage = {
  MEM_DONATE: 0x5100_0010,
  MEM_ACCEPT: 0x5100_0011,
  MEM_LEND: 0x5100_0012,
  MEM_SHARE: 0x5100_0013,
  MEM_RELEASE: 0x5100_0014,
  MEM_RECLAIM: 0x5100_0015,
  MEM_NOTIFY: 0x5100_0017,
  MEM_APPEND: 0x5100_0018,
  MEM_LOOKUP_SGL: 0x5100_001a,
  VM_ALLOC_VMID: 0x5600_0001,
  VM_DEALLOC_VMID: 0x5600_0002,
  VM_START: 0x5600_0004,
  VM_STOP: 0x5600_0005,
  VM_RESET: 0x5600_0006,
  VM_CONFIG_IMAGE: 0x5600_0009,
  VM_INIT: 0x5600_000b,
  VM_GET_HYP_RESOURCES: 0x5600_0020,
  VM_SET_DEMAND_PAGING: 0x5600_0033,
  VM_SET_ADDRESS_LAYOUT: 0x5600_0034,
} as const

/** Notifications. */
export const RmNotification = {
  MEM_SHARED: 0x5110_0011,
  MEM_RELEASED: 0x5110_0012,
  MEM_ACCEPTED: 0x5110_0013,
  MEM_RECALL: 0x5110_0014,
  VM_EXITED: 0x5610_0001,
  VM_STATUS: 0x5610_0008,
} as const

/** State of a VM (enum gunyah_rm_vm_status). */
export const VmState = {
  NO_STATE: 0,
  INIT: 1,
  READY: 2,
  RUNNING: 3,
  PAUSED: 4,
  LOAD: 5,
  AUTH: 6,
  INIT_FAILED: 8,
  EXITED: 9,
  RESETTING: 10,
  RESET: 11,
} as const
export type VmState = (typeof VmState)[keyof typeof VmState]
