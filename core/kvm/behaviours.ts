// What changed between Linux versions: one table, a row per behaviour. The rows make the profiles, the page shows them.
//
// Sources: virt/kvm/guest_memfd.c, virt/kvm/kvm_main.c and Documentation/virt/kvm/api.rst of the versions named.

import type { ErrnoName } from '../base/errno.ts'
import { anonInodeFs, type FileSystem } from '../host/file.ts'

/**
 * Versions in order. `next`: linux-next of September 2026 with the in-place conversion series and
 * kvm.gmem_in_place_conversion off; `next-in-place`: the same with it on.
 */
export const linuxVersions = ['6.8', '6.11', '6.18', '6.19', '7.2', 'next', 'next-in-place'] as const
export type LinuxVersion = (typeof linuxVersions)[number]

/** What a version does; one property per row of the table. */
export interface LinuxBehaviour {
  /** A slot may have a guest_memfd only in a VM with private memory; KVM_CAP_GUEST_MEMFD says so. */
  readonly gmemNeedsPrivateMemory: boolean
  /** GUEST_MEMFD_FLAG_MMAP, _INIT_SHARED and KVM_CAP_GUEST_MEMFD_FLAGS exist. */
  readonly gmemFlags: boolean
  /** INIT_SHARED is accepted for a VM with private memory. */
  readonly initSharedWithPrivateMemory: boolean
  /** KVM_PRE_FAULT_MEMORY exists. */
  readonly preFault: boolean
  /** KVM_CAP_RISCV_MP_STATE_RESET can be enabled: KVM_MP_STATE_INIT_RECEIVED then resets a vCPU. */
  readonly mpStateReset: boolean
  /** File system of a guest_memfd, and the name of its descriptor's link in procfs. */
  readonly gmemFileSystem: FileSystem
  readonly gmemName: string
  /** mbind on a mapping of the file sets the inode's policy, which allocation obeys. */
  readonly gmemPolicy: boolean
  /** Interleaving starts at a node that the inode number decides. */
  readonly interleaveByInode: boolean
  /** Populating a page that has contents already. null: it is filled again. */
  readonly populateTouched: ErrnoName | null
  /** The source of populate must be page aligned. */
  readonly populateAligned: boolean
  /** Binding file pages that are bound already. */
  readonly overlappingBind: ErrnoName
  /** Offset and size of a binding are added as signed: a sum beyond 2^63 passes the size check. */
  readonly signedBindSum: boolean
  /** The file's range is bound after the architecture has checked the slot (prepare, then commit). */
  readonly bindCommitsLast: boolean
  /** Attributes live in the guest_memfd's inode; the VM's ioctl has none to offer. */
  readonly inPlaceConversion: boolean
  /** Tracepoint of KVM_SET_MEMORY_ATTRIBUTES. */
  readonly setAttributesEvent: 'kvm_vm_set_mem_attributes' | 'kvm_set_vm_mem_attributes'
}

/** GUEST_MEMFD_MAGIC: "GMEM". */
const GUEST_MEMFD_MAGIC = 0x474d454d
const guestMemfdFs: FileSystem = { ...anonInodeFs, magic: GUEST_MEMFD_MAGIC }

/** One row: what the behaviour was at first, and what it became when. */
export interface BehaviourRow<K extends keyof LinuxBehaviour = keyof LinuxBehaviour> {
  readonly key: K
  /** What it is about, for a person. */
  readonly title: string
  /** In order of version; each holds until the next. `text` says the value to a person. */
  readonly since: readonly {
    readonly version: LinuxVersion
    readonly value: LinuxBehaviour[K]
    readonly text: string
  }[]
}

type Since<K extends keyof LinuxBehaviour> = [version: LinuxVersion, value: LinuxBehaviour[K], text: string]

const row = <K extends keyof LinuxBehaviour>(
  key: K,
  title: string,
  ...since: Since<K>[]
): BehaviourRow<K> => ({
  key,
  title,
  since: since.map(([version, value, text]) => ({ version, value, text })),
})

/** The table. */
export const behaviours = [
  row(
    'gmemNeedsPrivateMemory',
    'Slot with a guest_memfd in a VM without private memory',
    ['6.8', true, 'EINVAL'],
    ['6.18', false, 'allowed'],
  ),
  row(
    'gmemFlags',
    'Create flags MMAP and INIT_SHARED',
    ['6.8', false, 'none: EINVAL'],
    ['6.18', true, 'MMAP, INIT_SHARED'],
  ),
  row(
    'initSharedWithPrivateMemory',
    'INIT_SHARED in a VM with private memory',
    ['6.8', false, 'EINVAL'],
    ['next-in-place', true, 'allowed'],
  ),
  row(
    'preFault',
    'KVM_PRE_FAULT_MEMORY',
    ['6.8', false, 'unknown ioctl'],
    ['6.11', true, 'maps ahead of the guest'],
  ),
  row(
    'mpStateReset',
    'KVM_SET_MP_STATE with INIT_RECEIVED, on RISC-V',
    ['6.8', false, 'EINVAL'],
    ['6.18', true, 'resets the vCPU once the capability is enabled (since 6.16)'],
  ),
  row(
    'gmemFileSystem',
    'fstatfs of a guest_memfd',
    ['6.8', anonInodeFs, 'anonymous inode, 0x09041934'],
    ['6.19', guestMemfdFs, 'own file system, GMEM 0x474d454d'],
  ),
  row(
    'gmemName',
    'Link of the descriptor in procfs',
    ['6.8', 'anon_inode:[kvm-gmem]', 'anon_inode:[kvm-gmem]'],
    ['6.19', '/guest_memfd:[kvm-gmem]', '/guest_memfd:[kvm-gmem]'],
  ),
  row(
    'gmemPolicy',
    'mbind on a mapping of the file',
    ['6.8', false, "the mapping's own, ignored by allocation"],
    ['6.19', true, "the inode's, obeyed by allocation"],
  ),
  row(
    'interleaveByInode',
    'First node of an interleave',
    ['6.8', false, "by the task's turns"],
    ['7.2', true, 'by page index and inode number'],
  ),
  row(
    'populateTouched',
    'Populating a page that has contents',
    ['6.8', 'EEXIST', 'EEXIST'],
    ['7.2', null, 'filled again (since 7.0)'],
  ),
  row(
    'populateAligned',
    'Populating from an unaligned source',
    ['6.8', false, 'allowed'],
    ['7.2', true, 'EINVAL (since 7.0)'],
  ),
  row(
    'overlappingBind',
    'Binding file pages twice',
    ['6.8', 'EINVAL', 'EINVAL'],
    ['7.2', 'EEXIST', 'EEXIST'],
  ),
  row(
    'signedBindSum',
    'Binding offset plus size beyond 2^63',
    ['6.8', true, 'passes the size check'],
    ['7.2', false, 'EINVAL'],
  ),
  row(
    'bindCommitsLast',
    'A slot that overlaps in the file and is too high for the guest',
    ['6.8', false, 'the overlap decides the errno'],
    ['next', true, "the architecture's check decides the errno"],
  ),
  row(
    'inPlaceConversion',
    'Where private and shared are tracked',
    ['6.8', false, 'per VM, by KVM_SET_MEMORY_ATTRIBUTES; two backings'],
    ['next-in-place', true, 'per guest_memfd, by KVM_SET_MEMORY_ATTRIBUTES2; one page, converted in place'],
  ),
  row(
    'setAttributesEvent',
    'Tracepoint of KVM_SET_MEMORY_ATTRIBUTES',
    ['6.8', 'kvm_vm_set_mem_attributes', 'kvm_vm_set_mem_attributes'],
    ['next', 'kvm_set_vm_mem_attributes', 'kvm_set_vm_mem_attributes'],
  ),
] as const satisfies readonly BehaviourRow[]

/** What a row says for a version. */
export const behaviourAt = <K extends keyof LinuxBehaviour>(
  row: BehaviourRow<K>,
  version: LinuxVersion,
): BehaviourRow<K>['since'][number] => {
  const at = linuxVersions.indexOf(version)
  const found = row.since.findLast((change) => linuxVersions.indexOf(change.version) <= at)
  if (!found) throw new Error(`${row.key} says nothing about Linux ${version}`)
  return found
}

export const linuxBehaviour = (version: LinuxVersion): LinuxBehaviour =>
  Object.fromEntries(
    behaviours.map((row) => [row.key, behaviourAt(row as BehaviourRow, version).value]),
  ) as unknown as LinuxBehaviour
