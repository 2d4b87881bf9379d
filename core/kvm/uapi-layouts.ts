// The structures of KVM's uAPI as bytes: size, and [offset, size] of every field (include/uapi/linux/kvm.h, v7.2, 64-bit).
//
// Readers and writers take their offsets from here (uapi.ts, uapi-structs.ts, kvm-run.ts). Field names are the kernel's.

/** Byte offset and byte size. */
export type FieldLayout = readonly [offset: number, size: number]

export interface StructLayout {
  readonly size: number
  readonly fields: Readonly<Record<string, FieldLayout>>
}

const region = {
  slot: [0, 4],
  flags: [4, 4],
  guest_phys_addr: [8, 8],
  memory_size: [16, 8],
  userspace_addr: [24, 8],
} as const

/** Where the exit union of struct kvm_run starts; its members' fields count from here in the C source. */
const EXIT = 32

/** Every structure, by its kernel name. */
export const layouts = {
  kvm_userspace_memory_region: { size: 32, fields: region },
  kvm_userspace_memory_region2: {
    size: 160,
    fields: { ...region, guest_memfd_offset: [32, 8], guest_memfd: [40, 4], pad1: [44, 4], pad2: [48, 112] },
  },
  kvm_create_guest_memfd: { size: 64, fields: { size: [0, 8], flags: [8, 8], reserved: [16, 48] } },
  kvm_memory_attributes: {
    size: 32,
    fields: { address: [0, 8], size: [8, 8], attributes: [16, 8], flags: [24, 8] },
  },
  /** Queued: `address` on a VM, `offset` on a guest_memfd are one union. */
  kvm_memory_attributes2: {
    size: 128,
    fields: {
      address: [0, 8],
      offset: [0, 8],
      size: [8, 8],
      attributes: [16, 8],
      flags: [24, 8],
      error_offset: [32, 8],
      reserved: [40, 88],
    },
  },
  kvm_dirty_log: { size: 16, fields: { slot: [0, 4], padding1: [4, 4], dirty_bitmap: [8, 8] } },
  kvm_clear_dirty_log: {
    size: 24,
    fields: { slot: [0, 4], num_pages: [4, 4], first_page: [8, 8], dirty_bitmap: [16, 8] },
  },
  kvm_enable_cap: { size: 104, fields: { cap: [0, 4], flags: [4, 4], args: [8, 32], pad: [40, 64] } },
  kvm_pre_fault_memory: {
    size: 64,
    fields: { gpa: [0, 8], size: [8, 8], flags: [16, 8], padding: [24, 40] },
  },
  /** Project-own (populate.ts). */
  gmem_populate: {
    size: 64,
    fields: { gpa: [0, 8], size: [8, 8], source: [16, 8], flags: [24, 8], reserved: [32, 32] },
  },
  kvm_one_reg: { size: 16, fields: { id: [0, 8], addr: [8, 8] } },
  kvm_mp_state: { size: 4, fields: { mp_state: [0, 4] } },
  kvm_interrupt: { size: 4, fields: { irq: [0, 4] } },
  kvm_run: {
    size: 2352,
    fields: {
      request_interrupt_window: [0, 1],
      immediate_exit: [1, 1],
      exit_reason: [8, 4],
      ready_for_interrupt_injection: [12, 1],
      if_flag: [13, 1],
      flags: [14, 2],
      cr8: [16, 8],
      apic_base: [24, 8],
      'hw.hardware_exit_reason': [EXIT, 8],
      'fail_entry.hardware_entry_failure_reason': [EXIT, 8],
      'fail_entry.cpu': [EXIT + 8, 4],
      'mmio.phys_addr': [EXIT, 8],
      'mmio.data': [EXIT + 8, 8],
      'mmio.len': [EXIT + 16, 4],
      'mmio.is_write': [EXIT + 20, 1],
      'hypercall.nr': [EXIT, 8],
      'hypercall.args': [EXIT + 8, 48],
      'hypercall.ret': [EXIT + 56, 8],
      'hypercall.flags': [EXIT + 64, 8],
      'internal.suberror': [EXIT, 4],
      'internal.ndata': [EXIT + 4, 4],
      'internal.data': [EXIT + 8, 128],
      'system_event.type': [EXIT, 4],
      'system_event.ndata': [EXIT + 4, 4],
      'system_event.data': [EXIT + 8, 128],
      'riscv_sbi.extension_id': [EXIT, 8],
      'riscv_sbi.function_id': [EXIT + 8, 8],
      'riscv_sbi.args': [EXIT + 16, 48],
      'riscv_sbi.ret': [EXIT + 64, 16],
      'riscv_csr.csr_num': [EXIT, 8],
      'riscv_csr.new_value': [EXIT + 8, 8],
      'riscv_csr.write_mask': [EXIT + 16, 8],
      'riscv_csr.ret_value': [EXIT + 24, 8],
      'memory_fault.flags': [EXIT, 8],
      'memory_fault.gpa': [EXIT + 8, 8],
      'memory_fault.size': [EXIT + 16, 8],
      kvm_valid_regs: [288, 8],
      kvm_dirty_regs: [296, 8],
      s: [304, 2048],
    },
  },
} as const satisfies Record<string, StructLayout>

/** The bytes of a structure of `size` bytes: zeroes, but for what `fill` writes. */
export const structBytes = (size: number, fill: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(size)
  fill(new DataView(bytes.buffer))
  return bytes
}
