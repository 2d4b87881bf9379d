// Module parameters of kvm.ko that this project adds: what a guest_memfd created from now on is made of.

import type { StoreKind } from '../gmem/folio-store.ts'

/** Read-only once the module is loaded, as kvm.gmem_in_place_conversion (which the host profile decides). */
export interface KvmParameters {
  /** kvm.gmem_store: which structure holds a guest_memfd's folios. Project-own. */
  readonly gmemStore: StoreKind
  /** kvm.gmem_large_folios: 2 MiB folios. Project-own. */
  readonly gmemLargeFolios: boolean
}

export const defaultParameters: KvmParameters = { gmemStore: 'xarray', gmemLargeFolios: false }
