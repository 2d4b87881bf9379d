// Linux errno values by name (asm-generic/errno-base.h, asm-generic/errno.h).

export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  ENXIO: 6,
  ENOSYS: 38,
  EBADMSG: 74,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  EHWPOISON: 133,
} as const

export type ErrnoName = keyof typeof Errno

const names = new Map<number, ErrnoName>(
  Object.entries(Errno).map(([name, value]) => [value, name as ErrnoName]),
)

/** The name of a positive errno value, or its number as text when Linux has no such name here. */
export const errnoName = (value: number): string => names.get(value) ?? String(value)

/** A kernel path failed with a Linux errno; system calls turn it into a negative return value. */
export class KernelError extends Error {
  readonly errno: ErrnoName
  constructor(errno: ErrnoName, detail = '') {
    super(detail ? `${errno}: ${detail}` : errno)
    this.errno = errno
  }
}
