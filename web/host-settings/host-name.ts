// The host a machine runs on, in a few words.

import type { HostChoice, HypervisorKind, LinuxVersion } from '../../core/machine/host-choice.ts'

/** `Linux 7.2`, `linux-next, in place`. */
export const versionName = (version: LinuxVersion): string =>
  version.startsWith('next') ? `linux-${version.replace('-in-place', ', in place')}` : `Linux ${version}`

export const hypervisorName = (kind: HypervisorKind): string => (kind === 'gunyah' ? 'Gunyah' : 'KVM')

/** `Linux 7.2 · xarray`, `Gunyah · xarray`; what is not the default follows. */
export const hostName = (host: HostChoice): string => {
  const { hypervisor, version, gmemStore, gmemLargeFolios, gunyahReclaim, nodes } = host
  const underKvm = hypervisor === 'kvm'
  return [
    underKvm ? versionName(version) : hypervisorName(hypervisor),
    gmemStore,
    ...(underKvm && gmemLargeFolios ? ['2 MiB folios'] : []),
    ...(!underKvm && gunyahReclaim === 'grant' ? ['reclaim granted'] : []),
    ...(nodes > 1 ? [`${nodes} nodes`] : []),
  ].join(' · ')
}

export const sameHost = (a: HostChoice, b: HostChoice): boolean =>
  a.hypervisor === b.hypervisor &&
  a.gunyahReclaim === b.gunyahReclaim &&
  a.version === b.version &&
  a.gmemStore === b.gmemStore &&
  a.gmemLargeFolios === b.gmemLargeFolios &&
  a.nodes === b.nodes
