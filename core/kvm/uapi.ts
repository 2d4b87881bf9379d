// KVM's uAPI: ioctl numbers, capabilities, flags and structure layouts (include/uapi/linux/kvm.h, v7.2).

import { readU64, writeU64 } from '../base/u64.ts'
import { layouts, structBytes } from './uapi-layouts.ts'

const KVMIO = 0xae
const NONE = 0
const WRITE = 1
const READ = 2

/** _IOC: direction, type, number, size (asm-generic/ioctl.h). */
const ioc = (direction: number, number: number, size: number): number =>
  ((direction << 30) | (size << 16) | (KVMIO << 8) | number) >>> 0

export const KVM_API_VERSION = 12

/** ioctl request numbers. */
export const Kvm = {
  GET_API_VERSION: ioc(NONE, 0x00, 0),
  CREATE_VM: ioc(NONE, 0x01, 0),
  CHECK_EXTENSION: ioc(NONE, 0x03, 0),
  GET_VCPU_MMAP_SIZE: ioc(NONE, 0x04, 0),
  CREATE_VCPU: ioc(NONE, 0x41, 0),
  GET_DIRTY_LOG: ioc(WRITE, 0x42, layouts.kvm_dirty_log.size),
  SET_USER_MEMORY_REGION: ioc(WRITE, 0x46, layouts.kvm_userspace_memory_region.size),
  SET_USER_MEMORY_REGION2: ioc(WRITE, 0x49, layouts.kvm_userspace_memory_region2.size),
  RUN: ioc(NONE, 0x80, 0),
  GET_MP_STATE: ioc(READ, 0x98, layouts.kvm_mp_state.size),
  SET_MP_STATE: ioc(WRITE, 0x99, layouts.kvm_mp_state.size),
  INTERRUPT: ioc(WRITE, 0x86, layouts.kvm_interrupt.size),
  GET_ONE_REG: ioc(WRITE, 0xab, layouts.kvm_one_reg.size),
  SET_ONE_REG: ioc(WRITE, 0xac, layouts.kvm_one_reg.size),
  GET_REG_LIST: ioc(WRITE | READ, 0xb0, 8),
  ENABLE_CAP: ioc(WRITE, 0xa3, layouts.kvm_enable_cap.size),
  CLEAR_DIRTY_LOG: ioc(WRITE | READ, 0xc0, layouts.kvm_clear_dirty_log.size),
  SET_MEMORY_ATTRIBUTES: ioc(WRITE, 0xd2, layouts.kvm_memory_attributes.size),
  /** On a guest_memfd, where memory is converted in place (linux-next of September 2026). */
  SET_MEMORY_ATTRIBUTES2: ioc(WRITE | READ, 0xd2, layouts.kvm_memory_attributes2.size),
  CREATE_GUEST_MEMFD: ioc(WRITE | READ, 0xd4, layouts.kvm_create_guest_memfd.size),
  PRE_FAULT_MEMORY: ioc(WRITE | READ, 0xd5, layouts.kvm_pre_fault_memory.size),
  /** Project-own, outside the numbers Linux uses: initial private contents (populate.ts). */
  GMEM_POPULATE: ioc(WRITE | READ, 0xfe, layouts.gmem_populate.size),
} as const

/** Capabilities (KVM_CAP_*). */
export const Cap = {
  USER_MEMORY: 3,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  MP_STATE: 14,
  SYNC_MMU: 16,
  DESTROY_MEMORY_REGION_WORKS: 21,
  JOIN_MEMORY_REGIONS_WORKS: 30,
  INTERNAL_ERROR_DATA: 40,
  MAX_VCPUS: 66,
  ONE_REG: 70,
  READONLY_MEM: 81,
  ENABLE_CAP_VM: 98,
  CHECK_EXTENSION_VM: 105,
  /** 0 here: kernels with one address space do not know it. */
  MULTI_ADDRESS_SPACE: 118,
  MAX_VCPU_ID: 128,
  IMMEDIATE_EXIT: 136,
  MANUAL_DIRTY_LOG_PROTECT2: 168,
  EXIT_HYPERCALL: 201,
  VM_GPA_BITS: 207,
  SYSTEM_EVENT_DATA: 215,
  USER_MEMORY2: 231,
  MEMORY_FAULT_INFO: 232,
  MEMORY_ATTRIBUTES: 233,
  GUEST_MEMFD: 234,
  VM_TYPES: 235,
  PRE_FAULT_MEMORY: 236,
  RISCV_MP_STATE_RESET: 242,
  GUEST_MEMFD_FLAGS: 244,
  /** Not confirmed: the postings' numbers have been given to others, 252 is the first free one. */
  GUEST_MEMFD_MEMORY_ATTRIBUTES: 252,
  /** Project-own, outside the numbers Linux uses; args[0] is where the doorbell's page is (doorbell.ts). */
  GMEM_DOORBELL: 0x676d0001,
} as const

/** Memslot flags; the top half is KVM's own. */
export const MemFlag = {
  LOG_DIRTY_PAGES: 1 << 0,
  READONLY: 1 << 1,
  GUEST_MEMFD: 1 << 2,
  /** Internal: the slot is being deleted or moved. */
  INVALID: 1 << 16,
  /** Internal: every guest fault is served from the guest_memfd. */
  GMEM_ONLY: 1 << 17,
} as const

export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3
export const KVM_MEMORY_EXIT_FLAG_PRIVATE = 1 << 3
/** Options of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1 << 0
export const KVM_DIRTY_LOG_INITIALLY_SET = 1 << 1
/** The hypercall that asks for a conversion (include/uapi/linux/kvm_para.h). */
export const KVM_HC_MAP_GPA_RANGE = 12
/** In its attributes: the guest wants the range encrypted, that is, private. */
export const KVM_MAP_GPA_RANGE_ENCRYPTED = 1 << 4
/** Errors a hypercall answers, negated (kvm_para.h). */
export const HypercallError = { EPERM: 1, EFAULT: 14, EINVAL: 22, ENOSYS: 1000 } as const
/** KVM_MEM_MAX_NR_PAGES. */
export const MAX_SLOT_PAGES = 2 ** 31 - 1

/** Exit reasons (kvm_run.exit_reason), those of other architectures included: a VMM names what it meets. */
export const ExitReason = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  DIRTY_RING_FULL: 31,
  RISCV_SBI: 35,
  RISCV_CSR: 36,
  NOTIFY: 37,
  MEMORY_FAULT: 39,
  TDX: 40,
  ARM_SEA: 41,
  ARM_LDST64B: 42,
  SNP_REQ_CERTS: 43,
} as const

/** struct kvm_userspace_memory_region2; the fields of the first version and the guest_memfd ones. */
export interface MemoryRegion {
  /** Address space in bits 31..16, slot id in bits 15..0. */
  readonly slot: number
  readonly flags: number
  readonly guestPhysAddr: number
  readonly memorySize: number
  readonly userspaceAddr: number
  readonly guestMemfdOffset: number
  readonly guestMemfd: number
}

const { fields: regionAt } = layouts.kvm_userspace_memory_region2
export const MEMORY_REGION_SIZE = layouts.kvm_userspace_memory_region.size
export const MEMORY_REGION2_SIZE = layouts.kvm_userspace_memory_region2.size

export const readMemoryRegion = (view: DataView, second: boolean): MemoryRegion => ({
  slot: view.getUint32(regionAt.slot[0], true),
  flags: view.getUint32(regionAt.flags[0], true),
  guestPhysAddr: readU64(view, regionAt.guest_phys_addr[0]),
  memorySize: readU64(view, regionAt.memory_size[0]),
  userspaceAddr: readU64(view, regionAt.userspace_addr[0]),
  guestMemfdOffset: second ? readU64(view, regionAt.guest_memfd_offset[0]) : 0,
  guestMemfd: second ? view.getInt32(regionAt.guest_memfd[0], true) : -1,
})

/** The bytes of a struct kvm_userspace_memory_region2. */
export const memoryRegion2 = (region: MemoryRegion): Uint8Array =>
  structBytes(MEMORY_REGION2_SIZE, (view) => {
    view.setUint32(regionAt.slot[0], region.slot, true)
    view.setUint32(regionAt.flags[0], region.flags, true)
    writeU64(view, regionAt.guest_phys_addr[0], region.guestPhysAddr)
    writeU64(view, regionAt.memory_size[0], region.memorySize)
    writeU64(view, regionAt.userspace_addr[0], region.userspaceAddr)
    writeU64(view, regionAt.guest_memfd_offset[0], region.guestMemfdOffset)
    view.setUint32(regionAt.guest_memfd[0], region.guestMemfd, true)
  })

/** struct kvm_create_guest_memfd; the reserved words are not looked at. */
export interface CreateGuestMemfd {
  /** Read as signed by the kernel. */
  readonly size: number
  readonly flags: number
}

const { fields: createAt } = layouts.kvm_create_guest_memfd
export const CREATE_GUEST_MEMFD_SIZE = layouts.kvm_create_guest_memfd.size

export const readCreateGuestMemfd = (view: DataView): CreateGuestMemfd => ({
  size: readU64(view, createAt.size[0]),
  flags: readU64(view, createAt.flags[0]),
})

export const createGuestMemfd = (size: number, flags: number): Uint8Array =>
  structBytes(CREATE_GUEST_MEMFD_SIZE, (view) => {
    writeU64(view, createAt.size[0], size)
    writeU64(view, createAt.flags[0], flags)
  })

/** struct kvm_memory_attributes. */
export interface MemoryAttributes {
  readonly address: number
  readonly size: number
  readonly attributes: number
  readonly flags: number
}

const { fields: attributesAt } = layouts.kvm_memory_attributes
export const MEMORY_ATTRIBUTES_SIZE = layouts.kvm_memory_attributes.size

export const readMemoryAttributes = (view: DataView): MemoryAttributes => ({
  address: readU64(view, attributesAt.address[0]),
  size: readU64(view, attributesAt.size[0]),
  attributes: readU64(view, attributesAt.attributes[0]),
  flags: readU64(view, attributesAt.flags[0]),
})

export const memoryAttributes = (address: number, size: number, attributes: number): Uint8Array =>
  structBytes(MEMORY_ATTRIBUTES_SIZE, (view) => {
    writeU64(view, attributesAt.address[0], address)
    writeU64(view, attributesAt.size[0], size)
    writeU64(view, attributesAt.attributes[0], attributes)
  })

/** struct kvm_memory_attributes2 on a guest_memfd. */
export interface MemoryAttributes2 {
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly size: number
  readonly attributes: number
  readonly flags: number
  /** Some reserved word is not zero. */
  readonly reserved: boolean
}

const { fields: attributes2At } = layouts.kvm_memory_attributes2
export const MEMORY_ATTRIBUTES2_SIZE = layouts.kvm_memory_attributes2.size

export const readMemoryAttributes2 = (view: DataView): MemoryAttributes2 => {
  let reserved = 0
  for (let at = attributes2At.reserved[0]; at < MEMORY_ATTRIBUTES2_SIZE; at += 4)
    reserved |= view.getUint32(at, true)
  return {
    offset: readU64(view, attributes2At.offset[0]),
    size: readU64(view, attributes2At.size[0]),
    attributes: readU64(view, attributes2At.attributes[0]),
    flags: readU64(view, attributes2At.flags[0]),
    reserved: reserved !== 0,
  }
}

/** Tells the caller where in the file the first page lies that could not be converted. */
export const writeErrorOffset = (view: DataView, offset: number): void =>
  writeU64(view, attributes2At.error_offset[0], offset)

export const readErrorOffset = (view: DataView): number => readU64(view, attributes2At.error_offset[0])

export const memoryAttributes2 = (offset: number, size: number, attributes: number): Uint8Array =>
  structBytes(MEMORY_ATTRIBUTES2_SIZE, (view) => {
    writeU64(view, attributes2At.offset[0], offset)
    writeU64(view, attributes2At.size[0], size)
    writeU64(view, attributes2At.attributes[0], attributes)
  })

/**
 * struct gmem_populate (project-own); `source` is a user address, flags are 0.
 * gpa, size and source are in-out: they advance by what was done.
 */
export interface GmemPopulate {
  readonly gpa: number
  readonly size: number
  readonly source: number
  readonly flags: number
}

const { fields: populateAt } = layouts.gmem_populate
export const GMEM_POPULATE_SIZE = layouts.gmem_populate.size

export const readGmemPopulate = (view: DataView): GmemPopulate => ({
  gpa: readU64(view, populateAt.gpa[0]),
  size: readU64(view, populateAt.size[0]),
  source: readU64(view, populateAt.source[0]),
  flags: readU64(view, populateAt.flags[0]),
})

export const writeGmemPopulate = (view: DataView, populate: GmemPopulate): void => {
  writeU64(view, populateAt.gpa[0], populate.gpa)
  writeU64(view, populateAt.size[0], populate.size)
  writeU64(view, populateAt.source[0], populate.source)
  writeU64(view, populateAt.flags[0], populate.flags)
}

export const gmemPopulate = (gpa: number, size: number, source: number): Uint8Array =>
  structBytes(GMEM_POPULATE_SIZE, (view) => {
    writeGmemPopulate(view, { gpa, size, source, flags: 0 })
  })
