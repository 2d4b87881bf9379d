// Host profiles: a Linux version on an architecture, with the VM types it offers. Code asks the behaviour, never
// which profile is active.

import { type LinuxBehaviour, type LinuxVersion, linuxBehaviour, linuxVersions } from './behaviours.ts'

/** A VM type that KVM_CREATE_VM accepts. */
export interface VmType {
  /** Argument of KVM_CREATE_VM; bit number in KVM_CAP_VM_TYPES. */
  readonly type: number
  /** kvm_arch_has_private_mem: attributes may be PRIVATE, private faults are served by guest_memfd. */
  readonly privateMemory: boolean
  /** The guest's declared state decides what an access asks for (declared.ts); otherwise the attribute does. */
  readonly declaredState: boolean
}

/** What an architecture's part of KVM decides, whatever the version. */
export interface ArchBehaviour {
  /** Guest physical address bits. */
  readonly gpaBits: number
  /** User address bits of the host process. */
  readonly userAddressBits: number
  /** User memslots (KVM_CAP_NR_MEMSLOTS). */
  readonly memslots: number
  readonly maxVcpus: number
  /** Capabilities that only RISC-V has. */
  readonly riscv: boolean
  /** A slot may hold the last guest page; RISC-V refuses one that ends there, too. */
  readonly lastPageUsable: boolean
  /** A slot that ends beyond the largest guest address. */
  readonly slotBeyondGpa: 'EINVAL' | 'EFAULT'
  /** A writable slot over a read-only mapping is refused with EPERM (kvm_arch_prepare_memory_region, riscv). */
  readonly checksSlotMapping: boolean
  /** KVM_MEM_READONLY is offered. */
  readonly readonlyMem: boolean
  /** Unknown ioctl on the VM fd, and on /dev/kvm. */
  readonly unknownVmIoctl: 'EINVAL' | 'ENOTTY'
  readonly unknownSystemIoctl: 'EINVAL' | 'ENOTTY'
  /** KVM_SET_MEMORY_ATTRIBUTES is built in (CONFIG_KVM_GENERIC_MEMORY_ATTRIBUTES). */
  readonly memoryAttributes: boolean
  /** Guests have a second stage of paging (tdp_enabled): without one memory cannot be faulted ahead, EOPNOTSUPP. */
  readonly secondStagePaging: boolean
  /** The project-own KVM_GMEM_POPULATE exists. */
  readonly populate: boolean
  readonly vmTypes: readonly VmType[]
  /** KVM_CAP_VM_GPA_BITS, 0 where it does not exist. */
  readonly vmGpaBitsCap: number
}

export interface HostProfile extends ArchBehaviour, LinuxBehaviour {
  readonly name: string
  readonly version: LinuxVersion
}

const DEFAULT_VM: VmType = { type: 0, privateMemory: false, declaredState: false }

const architectures = {
  /** x86-64 with KVM_X86_SW_PROTECTED_VM: what an access asks for follows the attribute. */
  x86: {
    gpaBits: 46,
    userAddressBits: 47,
    memslots: 32764,
    maxVcpus: 1024,
    riscv: false,
    lastPageUsable: true,
    slotBeyondGpa: 'EINVAL',
    checksSlotMapping: false,
    readonlyMem: true,
    unknownVmIoctl: 'ENOTTY',
    unknownSystemIoctl: 'EINVAL',
    memoryAttributes: true,
    secondStagePaging: true,
    populate: false,
    vmTypes: [DEFAULT_VM, { type: 1, privateMemory: true, declaredState: false }],
    vmGpaBitsCap: 0,
  },
  /** riscv64 with the project's software-protected VM (type 1), which upstream does not have. */
  riscv: {
    gpaBits: 41,
    userAddressBits: 47,
    memslots: 32767,
    maxVcpus: 8,
    riscv: true,
    lastPageUsable: false,
    slotBeyondGpa: 'EFAULT',
    checksSlotMapping: true,
    readonlyMem: true,
    unknownVmIoctl: 'EINVAL',
    unknownSystemIoctl: 'EINVAL',
    memoryAttributes: true,
    secondStagePaging: true,
    populate: true,
    vmTypes: [DEFAULT_VM, { type: 1, privateMemory: true, declaredState: true }],
    vmGpaBitsCap: 41,
  },
} as const satisfies Record<string, ArchBehaviour>

export type Architecture = keyof typeof architectures

/** The profile of a Linux version on an architecture, by name `riscv-7.2`. */
export const hostProfile = (architecture: Architecture, version: LinuxVersion): HostProfile => ({
  name: `${architecture}-${version}`,
  version,
  ...architectures[architecture],
  ...linuxBehaviour(version),
})

/** Linux 6.18 on x86-64, built without private memory, shadow paging: what the recorded vectors come from. */
const recorder: HostProfile = {
  ...hostProfile('x86', '6.18'),
  name: 'x86-6.18-default-vm',
  // Shadow paging walks whatever the guest's own tables can name.
  gpaBits: 52,
  memoryAttributes: false,
  secondStagePaging: false,
  vmTypes: [DEFAULT_VM],
}

/** Every profile by name. */
export const profiles: ReadonlyMap<string, HostProfile> = new Map(
  [
    recorder,
    ...linuxVersions.flatMap((version) => [hostProfile('riscv', version), hostProfile('x86', version)]),
  ].map((profile) => [profile.name, profile]),
)

/** The profile called `name`. Throws with the names there are. */
export const profileByName = (name: string): HostProfile => {
  const profile = profiles.get(name)
  if (!profile)
    throw new Error(`no host profile is called ${name}; there are ${[...profiles.keys()].join(', ')}`)
  return profile
}

/** What the machine runs on unless told otherwise. */
export const DEFAULT_VERSION: LinuxVersion = '7.2'
