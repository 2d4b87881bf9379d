// What emulated host a machine runs on: which Linux, and the project-own choices its kernel was loaded with.

import { type StoreKind, storeKinds } from '../gmem/folio-store.ts'
import { behaviourAt, behaviours, type LinuxVersion, linuxVersions } from '../kvm/behaviours.ts'
import { DEFAULT_VERSION } from '../kvm/profiles.ts'

export { type LinuxVersion, linuxVersions, type StoreKind, storeKinds }

export const hypervisorKinds = ['kvm', 'gunyah'] as const
export type HypervisorKind = (typeof hypervisorKinds)[number]

export const reclaimPolicies = ['refuse', 'grant'] as const
/** Whether Gunyah lets the host take back a page that it lent to a VM that runs (docs/gunyah-riscv.md). */
export type ReclaimPolicy = (typeof reclaimPolicies)[number]

/** Fixed for a machine's life, as a host's boot is. */
export interface HostChoice {
  readonly hypervisor: HypervisorKind
  readonly gunyahReclaim: ReclaimPolicy
  readonly version: LinuxVersion
  /** kvm.gmem_store (project-own): what holds a guest_memfd's folios. */
  readonly gmemStore: StoreKind
  /** kvm.gmem_large_folios (project-own): 2 MiB folios. */
  readonly gmemLargeFolios: boolean
  /** NUMA nodes that the host's memory is split into. */
  readonly nodes: 1 | 2
}

export const defaultHostChoice: HostChoice = {
  hypervisor: 'kvm',
  gunyahReclaim: 'refuse',
  version: DEFAULT_VERSION,
  gmemStore: 'xarray',
  gmemLargeFolios: false,
  nodes: 1,
}

/** What a version does in one respect. */
export interface VersionCell {
  readonly version: LinuxVersion
  readonly text: string
  /** The version before answers otherwise. */
  readonly changed: boolean
}

/** One respect in which versions differ. */
export interface VersionRow {
  readonly title: string
  /** In the order of linuxVersions. */
  readonly cells: readonly VersionCell[]
}

/** What differs between the versions, for a person. */
export const versionTable: readonly VersionRow[] = behaviours.map((row) => ({
  title: row.title,
  cells: linuxVersions.map((version, index) => {
    const { text } = behaviourAt(row, version)
    const before = index > 0 ? behaviourAt(row, linuxVersions[index - 1]).text : text
    return { version, text, changed: text !== before }
  }),
}))
