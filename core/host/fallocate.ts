// The VFS's part of fallocate(2): checks before the file's own method (fs/open.c, vfs_fallocate, v6.18).

import { KernelError } from '../base/errno.ts'
import { pageOfSum, S64_PAGES } from '../base/u64.ts'
import { FileType, type OpenFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'

/** Modes of fallocate(2) (linux/falloc.h). */
export const Falloc = {
  KEEP_SIZE: 1,
  PUNCH_HOLE: 2,
  NO_HIDE_STALE: 4,
  COLLAPSE_RANGE: 8,
  ZERO_RANGE: 16,
  INSERT_RANGE: 32,
  UNSHARE_RANGE: 64,
  WRITE_ZEROES: 128,
} as const

const MODE_MASK =
  Falloc.PUNCH_HOLE |
  Falloc.COLLAPSE_RANGE |
  Falloc.ZERO_RANGE |
  Falloc.INSERT_RANGE |
  Falloc.UNSHARE_RANGE |
  Falloc.WRITE_ZEROES

/** Returns 0. Offset and length are s64 in bytes. EINVAL, EOPNOTSUPP, EBADF, ESPIPE, EISDIR, ENODEV, EFBIG, then the file's. */
export function* fallocateFile(
  file: OpenFile,
  mode: number,
  offset: number,
  length: number,
): KernelTask<number> {
  if (offset < 0 || length <= 0) throw new KernelError('EINVAL')
  if (mode & ~(MODE_MASK | Falloc.KEEP_SIZE)) throw new KernelError('EOPNOTSUPP')
  switch (mode & MODE_MASK) {
    case 0:
    case Falloc.UNSHARE_RANGE:
    case Falloc.ZERO_RANGE:
      break
    case Falloc.PUNCH_HOLE:
      if (!(mode & Falloc.KEEP_SIZE)) throw new KernelError('EOPNOTSUPP')
      break
    case Falloc.COLLAPSE_RANGE:
    case Falloc.INSERT_RANGE:
    case Falloc.WRITE_ZEROES:
      if (mode & Falloc.KEEP_SIZE) throw new KernelError('EOPNOTSUPP')
      break
    default:
      throw new KernelError('EOPNOTSUPP')
  }
  if (!file.writable) throw new KernelError('EBADF')
  if (file.type === FileType.fifo) throw new KernelError('ESPIPE')
  if (file.type === FileType.directory) throw new KernelError('EISDIR')
  if (file.type !== FileType.regular) throw new KernelError('ENODEV')
  if (pageOfSum(offset, length) >= S64_PAGES) throw new KernelError('EFBIG')
  yield* file.fallocate(mode, offset, length)
  return 0
}
