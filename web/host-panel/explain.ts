// One line on why a call of the host process failed.

import type { HostResult } from '../../core/machine/api.ts'

export type HostCall = 'read' | 'write' | 'convert' | 'punch' | 'allocate'

const NOT_MAPPABLE =
  'The page is private: it lies in the guest_memfd, and mmap() of one made without GUEST_MEMFD_FLAG_MMAP fails.'

const byCall: Readonly<Record<HostCall, Readonly<Record<string, string>>>> = {
  read: { ENODEV: NOT_MAPPABLE },
  write: { ENODEV: NOT_MAPPABLE },
  convert: {
    EINVAL:
      'KVM_SET_MEMORY_ATTRIBUTES wants a page-aligned range that is not empty, and attributes that the VM has.',
  },
  punch: {
    EINVAL: 'The offset is negative, the length is not above zero, or one of them is not page-aligned.',
    EOPNOTSUPP: 'guest_memfd punches holes with FALLOC_FL_KEEP_SIZE only.',
  },
  allocate: {
    EINVAL: 'The range is not page-aligned, is empty, or reaches beyond the file.',
    ENOSPC: 'The range reaches beyond what the file may hold.',
  },
}

const common: Readonly<Record<string, string>> = {
  EFAULT: 'The address is not mapped in the VMM process.',
  ENOMEM: 'The host is out of memory.',
  EINTR: 'A signal interrupted the call.',
}

const signals: Readonly<Record<string, string>> = {
  'SIGSEGV SEGV_MAPERR': 'Nothing is mapped there in the VMM process.',
  'SIGSEGV SEGV_ACCERR': 'The mapping is there but does not allow the access.',
  'SIGBUS BUS_ADRERR':
    'The mapping is there but no page may come: the guest page is private, or it lies beyond the file’s end.',
  'SIGBUS BUS_MCEERR_AR': 'The memory is poisoned.',
}

/** Why `call` came to `result`, in a line; empty when it succeeded or there is nothing to add. */
export const explain = (call: HostCall, result: HostResult<unknown>): string => {
  if (result.kind === 'errno') return byCall[call][result.errno] ?? common[result.errno] ?? ''
  if (result.kind === 'signal') return signals[`${result.signal} ${result.code}`] ?? ''
  return ''
}

/** A failed result as Linux names it: `EINVAL`, `SIGBUS (BUS_ADRERR)`. */
export const failureName = (result: HostResult<unknown>): string =>
  result.kind === 'errno' ? result.errno : result.kind === 'signal' ? `${result.signal} (${result.code})` : ''
