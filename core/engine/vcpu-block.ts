// The vCPU block: everything one vCPU shares between its worker, its wasm code and the hypervisor worker.
//
// One 384 KiB block per vCPU in host memory, 64 KiB aligned. All offsets are bytes from the block's base.
// Registers and CSRs belong to the vCPU thread while it is in guest mode and to the hypervisor worker while
// it is outside; words on the cache lines from POLL on are shared at any time and accessed with Atomics only.

export const VCPU_BLOCK_SIZE = 0x60000
export const MAX_VCPUS = 8

/** Byte offsets in the block. i64 unless said otherwise. */
export const Vcpu = {
  /** x0..x31; x0 is always stored as zero. */
  X: 0x0000,
  PC: 0x0100,
  /** Instructions retired. */
  INSTRET: 0x0108,
  /** i32 host address reserved by LR (bit 0 set: 4 bytes, else 8), 0 when none; value loaded at LR_VALUE. */
  LR_HPA: 0x0110,
  LR_VALUE: 0x0118,
  /** i32 privilege: 0 VU, 1 VS. */
  PRIV: 0x0120,
  /** f0..f31. */
  F: 0x0140,
  /** u32 fcsr: flags, and above them the rounding mode. */
  FCSR: 0x0240,

  // VS-level CSRs, as the guest sees them under their S names.
  SSTATUS: 0x0280,
  SIE: 0x0288,
  STVEC: 0x0290,
  SSCRATCH: 0x0298,
  SEPC: 0x02a0,
  SCAUSE: 0x02a8,
  STVAL: 0x02b0,
  SATP: 0x02b8,
  SCOUNTEREN: 0x02c0,
  SENVCFG: 0x02c8,
  STIMECMP: 0x02d0,

  /** i32 host address of the 16 KiB Sv39x4 root table; 0 = no stage 2 (every access faults). */
  HGATP_ROOT: 0x0300,
  /** f64 added to the host clock (ticks) to give the guest's `time`. */
  TIME_DELTA: 0x0308,

  /** The TLB holds pages of guest leaves above 4 KiB at these addresses: bit n where address bits 35:30 are n. */
  TLB_LARGE: 0x0310,

  // Why `run` returned (see Exit): the hart's trap CSRs as HS mode would see them.
  EXIT_SCAUSE: 0x0400,
  /** Guest virtual address of the access (stval). */
  EXIT_STVAL: 0x0408,
  /** Guest physical address of the access (htval << 2 | stval & 3). */
  EXIT_GPA: 0x0410,
  /** u32 the trapped instruction, expanded to 32 bits (htinst's role; never a host read of guest code). */
  EXIT_INSN: 0x0418,
  /** i32 length in bytes of that instruction as it is in memory: 2 or 4, 0 when there is none. */
  EXIT_INSN_LEN: 0x041c,

  // Shared words (i32, Atomics).
  /** Not 0: leave wasm soon. The interpreter polls it with a plain load; any thread sets it. */
  POLL: 0x0800,
  /** VcpuMode. */
  MODE: 0x0840,
  /** Bit set of KVM_REQ_*. */
  REQUESTS: 0x0844,
  /** Interrupts pending from outside: bits 1 SSIP, 9 SEIP as in sip (STIP comes from stimecmp). */
  PENDING: 0x0880,
  /** Mailbox: command from the hypervisor worker (VcpuCommand). */
  COMMAND: 0x08c0,
  /** Doorbell: what the vCPU wants (VcpuDoorbell). */
  DOORBELL: 0x08c4,
  /** Bumped and notified to wake a vCPU that halts in WFI. */
  WAKE: 0x08c8,
  /** 1 while halted in WFI. */
  HALTED: 0x08cc,
  /** KVM MP state: 0 RUNNABLE, 5 STOPPED, 10 SUSPENDED. */
  MP_STATE: 0x08d0,
  /** Bit set of the SBI extensions that are forwarded to the VMM (core/kvm/sbi.ts, SbiForward). */
  SBI_FORWARD: 0x08d4,

  /** u64-as-f64 statistics, one per VcpuStat. */
  STATS: 0x0900,

  /** struct kvm_run, 4 KiB (include/uapi/linux/kvm.h). */
  RUN_PAGE: 0x1000,

  /** Software TLBs: 512 entries of 16 bytes each {i64 tag = page VA, i32 addend, i32 pad}. */
  TLB: 0x8000,

  /** The interpreter's decode table, 32 KiB: handler number by decode index (written once by Engine). */
  DECODE: 0x14000,

  /** u32 the 32-bit instruction for each 16-bit one, 256 KiB (written once by Engine). */
  EXPAND: 0x20000,
} as const

export const TLB_ENTRIES = 512
export const TLB_ENTRY_SIZE = 16
export const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY_SIZE
/** The TLB arrays, in order from Vcpu.TLB: one per access kind and privilege. */
export const TlbArray = { S_READ: 0, S_WRITE: 1, S_FETCH: 2, U_READ: 3, U_WRITE: 4, U_FETCH: 5 } as const
export const TLB_ARRAYS = 6

/** Guest clock ticks per second (`time` CSR, Sstc). */
export const TIMEBASE_HZ = 10_000_000

/** What `run` returns. Trap exits carry the RISC-V cause number HS mode would see. */
export const Exit = {
  /** The poll word was set. */
  POLL: 0,
  /** Environment call from VS mode: an SBI call. */
  VS_ECALL: 10,
  FETCH_GUEST_PAGE_FAULT: 20,
  LOAD_GUEST_PAGE_FAULT: 21,
  /** Virtual instruction: WFI in VS mode (hstatus.VTW). */
  VIRTUAL_INSTRUCTION: 22,
  STORE_GUEST_PAGE_FAULT: 23,
} as const
