// A remembered host choice, as far as this version of the page still offers it.

import {
  defaultHostChoice,
  type HostChoice,
  hypervisorKinds,
  linuxVersions,
  reclaimPolicies,
  storeKinds,
} from '../../core/machine/host-choice.ts'

/** What `saved` (from the browser's storage, so anything) says, with the default for what it does not. */
export const recallHost = (saved: unknown): HostChoice => {
  const fields: Partial<Record<keyof HostChoice, unknown>> = typeof saved === 'object' && saved ? saved : {}
  return {
    hypervisor: hypervisorKinds.find((kind) => kind === fields.hypervisor) ?? defaultHostChoice.hypervisor,
    gunyahReclaim:
      reclaimPolicies.find((policy) => policy === fields.gunyahReclaim) ?? defaultHostChoice.gunyahReclaim,
    version: linuxVersions.find((v) => v === fields.version) ?? defaultHostChoice.version,
    gmemStore: storeKinds.find((kind) => kind === fields.gmemStore) ?? defaultHostChoice.gmemStore,
    gmemLargeFolios: fields.gmemLargeFolios === true,
    nodes: fields.nodes === 2 ? 2 : defaultHostChoice.nodes,
  }
}
