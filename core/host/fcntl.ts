// fcntl(2): what every file answers, and seals (fs/fcntl.c and mm/memfd.c, v6.18).

import { KernelError } from '../base/errno.ts'
import type { FdTable } from './fd-table.ts'
import { FileType, type OpenFile, OpenFlag } from './file.ts'

const Fcntl = {
  GETFD: 1,
  SETFD: 2,
  GETFL: 3,
  SETFL: 4,
  GETLEASE: 1025,
  NOTIFY: 1026,
  ADD_SEALS: 1033,
  GET_SEALS: 1034,
} as const
/** Commands that work on a file opened O_PATH. */
const PATH_COMMANDS = new Set<number>([Fcntl.GETFD, Fcntl.SETFD, Fcntl.GETFL])
/** Flags that F_SETFL changes. */
const SETFL_MASK = OpenFlag.APPEND | OpenFlag.NONBLOCK | OpenFlag.DIRECT | OpenFlag.NOATIME
/** F_SEAL_SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE and EXEC. */
const ALL_SEALS = 0x3f
/** F_UNLCK: nobody has a lease. */
const NO_LEASE = 2
const DN_MULTISHOT = 0x8000_0000

/** The command's result. `value` is the register, u64. */
export const fcntl = (fds: FdTable, fd: number, command: number, value: number): number => {
  const file = fds.getRaw(fd)
  if (file.flags & OpenFlag.PATH && !PATH_COMMANDS.has(command)) throw new KernelError('EBADF')
  switch (command) {
    case Fcntl.GETFD:
      return fds.closeOnExec(fd) ? 1 : 0
    case Fcntl.SETFD:
      fds.setCloseOnExec(fd, (value & 1) !== 0)
      return 0
    case Fcntl.GETFL:
      return file.flags
    case Fcntl.SETFL:
      return setFlags(file, value)
    case Fcntl.GETLEASE:
      return NO_LEASE
    case Fcntl.NOTIFY:
      // Nothing is watched: to watch nothing is done at once, and only directories are watched.
      if (value & ~DN_MULTISHOT && file.type !== FileType.directory) throw new KernelError('ENOTDIR')
      return 0
    case Fcntl.ADD_SEALS:
      return addSeals(file, value)
    case Fcntl.GET_SEALS:
      if (file.seals === null) throw new KernelError('EINVAL')
      return file.seals
    default:
      throw new KernelError('EINVAL')
  }
}

/** setfl: packets are a pipe's own; no other file here can do direct I/O. */
const setFlags = (file: OpenFile, value: number): number => {
  if (value & OpenFlag.DIRECT && file.type !== FileType.fifo && !file.directIo)
    throw new KernelError('EINVAL')
  file.flags = (file.flags & ~SETFL_MASK) | (value & SETFL_MASK)
  return 0
}

/** memfd_add_seals; files here are made without MFD_ALLOW_SEALING, so those that have seals are sealed against more. */
const addSeals = (file: OpenFile, value: number): number => {
  if (value < 0 || value >= 2 ** 32) throw new KernelError('EINVAL')
  if (!file.writable) throw new KernelError('EPERM')
  if (value & ~ALL_SEALS || file.seals === null) throw new KernelError('EINVAL')
  throw new KernelError('EPERM')
}
