// What the VFS checks before it calls a file's own method (fs/read_write.c and fs/open.c, v6.18).

import { KernelError } from '../base/errno.ts'
import { pageOfSum, S64_PAGES } from '../base/u64.ts'
import type { FdTable } from './fd-table.ts'
import { FileType, type OpenFile } from './file.ts'
import type { KernelTask } from './kernel-task.ts'

/** Origins of lseek(2). */
export const Whence = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const

/** The file, when it is open for reading. EBADF. */
export const readable = (file: OpenFile): OpenFile => {
  if (!file.readable) throw new KernelError('EBADF')
  return file
}

/** The file, when it is open for writing. EBADF. */
export const writable = (file: OpenFile): OpenFile => {
  if (!file.writable) throw new KernelError('EBADF')
  return file
}

/** The file of a call that names its own offset (s64). EINVAL, EBADF, ESPIPE. */
export const positioned = (fds: FdTable, fd: number, offset: number): OpenFile => {
  if (offset < 0) throw new KernelError('EINVAL')
  const file = fds.get(fd)
  if (!file.positioned) throw new KernelError('ESPIPE')
  return file
}

/** rw_verify_area: the bytes must have offsets. EINVAL. */
export const checkRange = (file: OpenFile, length: number, offset: number): OpenFile => {
  if (pageOfSum(offset, length) >= S64_PAGES) throw new KernelError('EINVAL')
  return file
}

/** do_ftruncate, for a length that is not negative: 0. EINVAL, then the file's. */
export function* truncateFile(file: OpenFile, length: number): KernelTask<number> {
  if (file.type !== FileType.regular || !file.writable) throw new KernelError('EINVAL')
  yield* file.truncate(length)
  return 0
}
