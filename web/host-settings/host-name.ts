// The host a machine runs on, in a few words.

import type { HostChoice, LinuxVersion } from '../../core/machine/host-choice.ts'

/** `Linux 7.2`, `linux-next, in place`. */
export const versionName = (version: LinuxVersion): string =>
  version.startsWith('next') ? `linux-${version.replace('-in-place', ', in place')}` : `Linux ${version}`

/** `Linux 7.2 · xarray`; what is not the default follows. */
export const hostName = ({ version, gmemStore, gmemLargeFolios, nodes }: HostChoice): string =>
  [
    versionName(version),
    gmemStore,
    ...(gmemLargeFolios ? ['2 MiB folios'] : []),
    ...(nodes > 1 ? [`${nodes} nodes`] : []),
  ].join(' · ')

export const sameHost = (a: HostChoice, b: HostChoice): boolean =>
  a.version === b.version &&
  a.gmemStore === b.gmemStore &&
  a.gmemLargeFolios === b.gmemLargeFolios &&
  a.nodes === b.nodes
