// Error numbers in the Resource Manager's replies, and what the Linux driver makes of them (gunyah_rm_error_remap).

import type { ErrnoName } from '../../base/errno.ts'
import { HypError } from '../hyp/error.ts'

/** Error word of a reply (enum gunyah_rm_error). */
export const RmError = {
  OK: 0,
  NOMEM: 1,
  NORESOURCE: 2,
  DENIED: 3,
  MSG_INVALID: 4,
  BUSY: 5,
  ARGUMENT_INVALID: 6,
  HANDLE_INVALID: 7,
  VALIDATE_FAILED: 8,
  MAP_FAILED: 9,
  MEM_INVALID: 0xa,
  MEM_INUSE: 0xb,
  MEM_RELEASED: 0xc,
  VMID_INVALID: 0xd,
  LOOKUP_FAILED: 0xe,
  VM_STATE: 0x14,
  UNIMPLEMENTED: 0xffff_ffff,
} as const
export type RmError = (typeof RmError)[keyof typeof RmError]

const errnos = new Map<number, ErrnoName>([
  [RmError.NOMEM, 'ENOMEM'],
  [RmError.NORESOURCE, 'ENODEV'],
  [RmError.DENIED, 'EPERM'],
  [RmError.BUSY, 'EBUSY'],
  [RmError.UNIMPLEMENTED, 'EOPNOTSUPP'],
  [RmError.MSG_INVALID, 'EINVAL'],
  [RmError.ARGUMENT_INVALID, 'EINVAL'],
  [RmError.HANDLE_INVALID, 'EINVAL'],
  [RmError.VALIDATE_FAILED, 'EINVAL'],
  [RmError.MAP_FAILED, 'EINVAL'],
  [RmError.MEM_INVALID, 'EINVAL'],
  [RmError.MEM_INUSE, 'EINVAL'],
  [RmError.MEM_RELEASED, 'EINVAL'],
  [RmError.VMID_INVALID, 'EINVAL'],
  [RmError.LOOKUP_FAILED, 'EINVAL'],
])

/** The errno that Linux reports for an error word other than OK; the driver knows no other, VM_STATE included. */
export const rmErrno = (error: number): ErrnoName => errnos.get(error) ?? 'EBADMSG'

const ofHypervisor = new Map<HypError, RmError>([
  [HypError.OK, RmError.OK],
  [HypError.NOMEM, RmError.NOMEM],
  [HypError.DENIED, RmError.DENIED],
  [HypError.BUSY, RmError.BUSY],
  [HypError.MEMDB_NOT_OWNER, RmError.MEM_INVALID],
  [HypError.ADDR_INVALID, RmError.MEM_INVALID],
  [HypError.ADDR_OVERFLOW, RmError.MAP_FAILED],
  [HypError.EXISTING_MAPPING, RmError.MAP_FAILED],
])

/** What the Resource Manager replies when a hypercall of its own failed. */
export const fromHypervisor = (error: HypError): RmError =>
  ofHypervisor.get(error) ?? RmError.ARGUMENT_INVALID
