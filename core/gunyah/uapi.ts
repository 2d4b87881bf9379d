// Gunyah's uAPI: ioctl numbers, flags and structures (include/uapi/linux/gunyah.h of the posted series, v17, 2024).
//
// The series was never merged, and Android's kernels number the MAP_MEM flags otherwise: memFlags has both.

import { readU64, writeU64 } from '../base/u64.ts'

const TYPE = 0x47
const NONE = 0
const WRITE = 1

/** _IOC: direction, type, number, size (asm-generic/ioctl.h). */
const ioc = (direction: number, number: number, size: number): number =>
  ((direction << 30) | (size << 16) | (TYPE << 8) | number) >>> 0

/** Sizes of the structures, in bytes. */
export const StructSize = {
  create_mem_args: 64,
  map_mem_args: 32,
  vm_dtb_config: 16,
  fn_desc: 16,
  fn_vcpu_arg: 4,
  vm_boot_context: 16,
} as const

/** ioctl request numbers. */
export const Gunyah = {
  /** /dev/gunyah */
  CREATE_VM: ioc(NONE, 0x0, 0),
  CREATE_GUEST_MEM: ioc(WRITE, 0x8, StructSize.create_mem_args),
  /** A VM's descriptor. */
  VM_SET_DTB_CONFIG: ioc(WRITE, 0x2, StructSize.vm_dtb_config),
  VM_START: ioc(NONE, 0x3, 0),
  VM_ADD_FUNCTION: ioc(WRITE, 0x4, StructSize.fn_desc),
  VM_REMOVE_FUNCTION: ioc(WRITE, 0x7, StructSize.fn_desc),
  VM_MAP_MEM: ioc(WRITE, 0x9, StructSize.map_mem_args),
  VM_SET_BOOT_CONTEXT: ioc(WRITE, 0xa, StructSize.vm_boot_context),
  /** A vCPU's descriptor. */
  VCPU_RUN: ioc(NONE, 0x5, 0),
  VCPU_MMAP_SIZE: ioc(NONE, 0x6, 0),
} as const

/** Flags of CREATE_GUEST_MEM (GHMF_*). */
export const GuestMemFlag = { CLOEXEC: 1 << 0, ALLOW_HUGEPAGE: 1 << 1 } as const

/** One numbering of the MAP_MEM flags. */
export interface MemFlags {
  readonly READ: number
  readonly WRITE: number
  readonly EXEC: number
  /** How the memory is transferred: 0 is the default, which is to lend it. */
  readonly ACCESS_MASK: number
  readonly FORCE_LEND: number
  readonly FORCE_SHARE: number
  readonly UNMAP: number
}

/** GUNYAH_MEM_*: as posted, and as Android has it. The driver here takes the posted ones. */
export const memFlags: { readonly posted: MemFlags; readonly android: MemFlags } = {
  posted: {
    READ: 1 << 4,
    WRITE: 1 << 5,
    EXEC: 1 << 6,
    ACCESS_MASK: 7,
    FORCE_LEND: 1,
    FORCE_SHARE: 2,
    UNMAP: 1 << 8,
  },
  android: {
    READ: 1 << 0,
    WRITE: 1 << 1,
    EXEC: 1 << 2,
    ACCESS_MASK: 0x70,
    FORCE_LEND: 0x10,
    FORCE_SHARE: 0x20,
    UNMAP: 1 << 8,
  },
}
export const MemFlag = memFlags.posted
/** GUNYAH_MEM_ALLOW_RWX */
export const ALLOW_RWX = MemFlag.READ | MemFlag.WRITE | MemFlag.EXEC

/** Function types (GUNYAH_FN_*). */
export const FunctionType = { VCPU: 1, IRQFD: 2, IOEVENTFD: 3 } as const
/** GUNYAH_FN_MAX_ARG_SIZE */
export const MAX_FUNCTION_ARGUMENT = 256

/** Register sets of SET_BOOT_CONTEXT. */
export const BootRegister = { X: 0, PC: 1, SP: 2 } as const
/** GUNYAH_VM_BOOT_CONTEXT_REG */
export const bootRegister = (set: number, index: number): number => ((set & 0xff) << 8) | (index & 0xff)

export interface CreateMemArgs {
  readonly flags: number
  readonly size: number
}

export const readCreateMemArgs = (view: DataView): CreateMemArgs => ({
  flags: readU64(view, 0),
  size: readU64(view, 8),
})

export const createMemArgs = (size: number, flags = 0): Uint8Array =>
  bytes(StructSize.create_mem_args, (view) => {
    writeU64(view, 0, flags)
    writeU64(view, 8, size)
  })

/** struct gunyah_map_mem_args; addresses, offset and size in bytes. */
export interface MapMemArgs {
  readonly guestAddr: number
  readonly flags: number
  readonly fd: number
  readonly offset: number
  readonly size: number
}

export const readMapMemArgs = (view: DataView): MapMemArgs => ({
  guestAddr: readU64(view, 0),
  flags: view.getUint32(8, true),
  fd: view.getInt32(12, true),
  offset: readU64(view, 16),
  size: readU64(view, 24),
})

export const mapMemArgs = (args: MapMemArgs): Uint8Array =>
  bytes(StructSize.map_mem_args, (view) => {
    writeU64(view, 0, args.guestAddr)
    view.setUint32(8, args.flags, true)
    view.setInt32(12, args.fd, true)
    writeU64(view, 16, args.offset)
    writeU64(view, 24, args.size)
  })

export interface DtbConfig {
  /** Guest physical address, in bytes. */
  readonly gpa: number
  readonly size: number
}

export const readDtbConfig = (view: DataView): DtbConfig => ({
  gpa: readU64(view, 0),
  size: readU64(view, 8),
})

export const dtbConfig = ({ gpa, size }: DtbConfig): Uint8Array =>
  bytes(StructSize.vm_dtb_config, (view) => {
    writeU64(view, 0, gpa)
    writeU64(view, 8, size)
  })

/** struct gunyah_fn_desc: `arg` is a user address, or (from code that has no address space) the bytes behind it. */
export interface FunctionDescription {
  readonly type: number
  readonly argSize: number
  readonly arg: number
}

export const readFunctionDescription = (view: DataView): FunctionDescription => ({
  type: view.getUint32(0, true),
  argSize: view.getUint32(4, true),
  arg: readU64(view, 8),
})

export const functionDescription = (type: number, argSize: number, arg: number): Uint8Array =>
  bytes(StructSize.fn_desc, (view) => {
    view.setUint32(0, type, true)
    view.setUint32(4, argSize, true)
    writeU64(view, 8, arg)
  })

export interface BootContext {
  /** Bits 15..8 the set (BootRegister), 7..0 the index. */
  readonly register: number
  readonly low: number
  readonly high: number
}

export const readBootContext = (view: DataView): BootContext => ({
  register: view.getUint32(0, true),
  low: view.getInt32(8, true),
  high: view.getInt32(12, true),
})

export const bootContext = (register: number, value: number): Uint8Array =>
  bytes(StructSize.vm_boot_context, (view) => {
    view.setUint32(0, register, true)
    writeU64(view, 8, value)
  })

const bytes = (size: number, fill: (view: DataView) => void): Uint8Array => {
  const structure = new Uint8Array(size)
  fill(new DataView(structure.buffer))
  return structure
}
