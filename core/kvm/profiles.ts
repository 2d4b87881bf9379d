// Host profiles: what differs between kernels and architectures, one row per behaviour.
//
// Code asks the row, never which profile is active.

import type { ErrnoName } from '../base/errno.ts'
import { anonInodeFs, type FileSystem } from '../host/file.ts'

/** A VM type that KVM_CREATE_VM accepts. */
export interface VmType {
  /** Argument of KVM_CREATE_VM; bit number in KVM_CAP_VM_TYPES. */
  readonly type: number
  /** kvm_arch_has_private_mem: attributes may be PRIVATE, private faults are served by guest_memfd. */
  readonly privateMemory: boolean
  /** The guest's declared state decides what an access asks for (declared.ts); otherwise the attribute does. */
  readonly declaredState: boolean
}

export interface HostProfile {
  readonly name: string
  /** Guest physical address bits. */
  readonly gpaBits: number
  /** User address bits of the host process. */
  readonly userAddressBits: number
  /** User memslots (KVM_CAP_NR_MEMSLOTS). */
  readonly memslots: number
  readonly maxVcpus: number
  /** Capabilities that only RISC-V has. */
  readonly riscv: boolean
  /** A slot that ends beyond the largest guest address. */
  readonly slotBeyondGpa: ErrnoName
  /** A writable slot over a read-only mapping is refused with EPERM (kvm_arch_prepare_memory_region, riscv). */
  readonly checksSlotMapping: boolean
  /** KVM_MEM_READONLY is offered. */
  readonly readonlyMem: boolean
  /** Unknown ioctl on the VM fd, and on /dev/kvm. */
  readonly unknownVmIoctl: ErrnoName
  readonly unknownSystemIoctl: ErrnoName
  /** Binding file pages that are bound already: EINVAL before v7.2, EEXIST since. */
  readonly overlappingBind: ErrnoName
  /** Offset and size of a binding are added as signed: a sum beyond 2^63 passes the size check (fixed in v7.2). */
  readonly signedBindSum: boolean
  /** KVM_SET_MEMORY_ATTRIBUTES is built in. */
  readonly memoryAttributes: boolean
  /** The project-own KVM_GMEM_POPULATE exists. */
  readonly populate: boolean
  readonly vmTypes: readonly VmType[]
  /** KVM_CAP_VM_GPA_BITS, 0 where it does not exist. */
  readonly vmGpaBitsCap: number
  /** Name of a guest_memfd descriptor's link in procfs, and its file system. */
  readonly gmemName: string
  readonly gmemFileSystem: FileSystem
}

/** GUEST_MEMFD_MAGIC: the pseudo file system guest_memfd has had since v6.19. */
const guestMemfdFs: FileSystem = { ...anonInodeFs, magic: 0x474d454d }

export const profiles = {
  /** Linux 6.18 on x86-64 with only the default VM type; what the recorded vectors come from. */
  'x86-6.18-default-vm': {
    name: 'x86-6.18-default-vm',
    gpaBits: 46,
    userAddressBits: 47,
    memslots: 32764,
    maxVcpus: 1024,
    riscv: false,
    slotBeyondGpa: 'EINVAL',
    checksSlotMapping: false,
    readonlyMem: true,
    unknownVmIoctl: 'ENOTTY',
    unknownSystemIoctl: 'EINVAL',
    overlappingBind: 'EINVAL',
    signedBindSum: true,
    memoryAttributes: false,
    populate: false,
    vmTypes: [{ type: 0, privateMemory: false, declaredState: false }],
    vmGpaBitsCap: 0,
    gmemName: 'anon_inode:[kvm-gmem]',
    gmemFileSystem: anonInodeFs,
  },
  /** Linux 7.2 on riscv64, with the project's software-protected VM (type 1), which upstream does not have. */
  'riscv-sw-protected': {
    name: 'riscv-sw-protected',
    gpaBits: 41,
    userAddressBits: 47,
    memslots: 32767,
    maxVcpus: 8,
    riscv: true,
    slotBeyondGpa: 'EFAULT',
    checksSlotMapping: true,
    readonlyMem: true,
    unknownVmIoctl: 'EINVAL',
    unknownSystemIoctl: 'EINVAL',
    overlappingBind: 'EEXIST',
    signedBindSum: false,
    memoryAttributes: true,
    populate: true,
    vmTypes: [
      { type: 0, privateMemory: false, declaredState: false },
      { type: 1, privateMemory: true, declaredState: true },
    ],
    vmGpaBitsCap: 41,
    gmemName: '/guest_memfd:[kvm-gmem]',
    gmemFileSystem: guestMemfdFs,
  },
} as const satisfies Record<string, HostProfile>
