// Error numbers of the hypervisor's calls, and what the Linux driver makes of them (gunyah_error_remap).

import type { ErrnoName } from '../../base/errno.ts'

/** What a hypercall returns (enum gunyah_error). */
export const HypError = {
  OK: 0,
  ARGUMENT_INVALID: 1,
  ARGUMENT_SIZE: 2,
  ARGUMENT_ALIGNMENT: 3,
  NOMEM: 10,
  ADDR_OVERFLOW: 20,
  ADDR_INVALID: 22,
  DENIED: 30,
  BUSY: 31,
  OBJECT_STATE: 33,
  MEMDB_NOT_OWNER: 111,
  MEMEXTENT_TYPE: 121,
  EXISTING_MAPPING: 200,
} as const
export type HypError = (typeof HypError)[keyof typeof HypError]

const errnos: Partial<Record<HypError, ErrnoName>> = {
  [HypError.NOMEM]: 'ENOMEM',
  [HypError.DENIED]: 'EACCES',
  [HypError.BUSY]: 'EBUSY',
}

/** The errno that Linux reports for an error other than OK. */
export const hypErrno = (error: HypError): ErrnoName => errnos[error] ?? 'EINVAL'
