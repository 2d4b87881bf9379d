// One line on what a call of the host process did, or why it failed.

import type { HostResult } from '../../core/machine/api.ts'

export type HostCall =
  | 'read'
  | 'write'
  | 'convert'
  | 'punch'
  | 'allocate'
  | 'pin'
  | 'unpin'
  | 'poison'
  | 'drain'
  | 'compact'

const NOT_MAPPABLE =
  'The page is private: it lies in the guest_memfd, and mmap() of one made without GUEST_MEMFD_FLAG_MMAP fails.'

const LENT =
  'The page is lent to the guest, and Gunyah does not take it back from a running guest. The guest gives it back; or choose the reclaim policy “grant” in the host’s settings.'

const byCall: Readonly<Record<HostCall, Readonly<Record<string, string>>>> = {
  read: { ENODEV: NOT_MAPPABLE, EACCES: LENT },
  write: { ENODEV: NOT_MAPPABLE, EACCES: LENT },
  convert: {
    EAGAIN:
      'Somebody holds a reference to this page, so its mapping cannot be the only way to it; the whole range stays as it was. Unpin it or drain the LRU, then ask again.',
    EINVAL: 'The kernel wants a page-aligned range that is not empty, and attributes that the VM has.',
    ENOTTY: 'This Linux has no such ioctl.',
    EOPNOTSUPP: 'Gunyah has no call by which the host converts: the guest shares and unshares its pages.',
  },
  punch: {
    EACCES: LENT,
    EINVAL:
      'The offset is negative, the length is not above zero, or one of them is not page-aligned; or the guest has accepted a parcel with the page, and must unshare it first.',
    EOPNOTSUPP: 'guest_memfd punches holes with FALLOC_FL_KEEP_SIZE only.',
  },
  allocate: {
    EINVAL: 'The range is not page-aligned, is empty, or reaches beyond the file.',
    ENOSPC: 'The range reaches beyond what the file may hold.',
  },
  pin: {
    ENODEV: NOT_MAPPABLE,
    EACCES: LENT,
    EFAULT: 'vmsplice() could not fault the page in through the VMM’s mapping: the guest page is private.',
    EAGAIN: 'The pipe is full: unpin a page first.',
  },
  unpin: { ENOENT: 'The pipe holds no reference to this page.' },
  poison: {
    EBUSY: 'The frame holds a page table or the kernel’s own memory, which the kernel cannot do without.',
    EHWPOISON: 'The frame is poisoned already.',
    ENOENT: 'No frame is behind the page: let the guest touch it first.',
    ENXIO: 'No frame is behind the page: let the guest touch it first.',
  },
  drain: {},
  compact: {},
}

const common: Readonly<Record<string, string>> = {
  EFAULT: 'The address is not mapped in the VMM process.',
  EHWPOISON: 'The frame is poisoned: what was in it is lost. Punch the page to get another frame.',
  ENOMEM: 'The host has no frame left. Release the pressure under Host memory.',
  EINTR: 'A signal interrupted the call.',
}

const signals: Readonly<Record<string, string>> = {
  'SIGSEGV SEGV_MAPERR': 'Nothing is mapped there in the VMM process.',
  'SIGSEGV SEGV_ACCERR': 'The mapping is there but does not allow the access.',
  'SIGBUS BUS_ADRERR':
    'The mapping is there but no page may come: the guest page is private, or it lies beyond the file’s end.',
  'SIGBUS BUS_OBJERR':
    'The host’s own stage 2 does not reach the frame: the hypervisor has lent it to the guest.',
  'SIGBUS BUS_MCEERR_AR': 'The frame is poisoned: the access met a memory error.',
}

const meanings: Readonly<Partial<Record<HostCall, string>>> = {
  pin: 'The pipe holds a reference: a conversion in place meets EAGAIN and compaction leaves the frame, until it is unpinned.',
  poison:
    'The frame is out of use. The next access meets EHWPOISON, its neighbours are unharmed; punching the page brings another frame.',
}

/** What the success of `call` means; empty when the result says it all. */
export const meaning = (call: HostCall): string => meanings[call] ?? ''

/** Why `call` came to `result`, in a line; empty when it succeeded or there is nothing to add. */
export const explain = (call: HostCall, result: HostResult<unknown>): string => {
  if (result.kind === 'errno') return byCall[call][result.errno] ?? common[result.errno] ?? ''
  if (result.kind === 'signal') return signals[`${result.signal} ${result.code}`] ?? ''
  return ''
}

/** A failed result as Linux names it: `EINVAL`, `SIGBUS (BUS_ADRERR)`. */
export const failureName = (result: HostResult<unknown>): string =>
  result.kind === 'errno' ? result.errno : result.kind === 'signal' ? `${result.signal} (${result.code})` : ''
