// Files that are no memory anybody could bind: they exist so that calls on them are refused as Linux refuses them.

import { anonInodeFs, type FileSystem, FileType, OpenFile, OpenFlag } from './file.ts'
import type { Host } from './host.ts'

interface SpecialFile {
  readonly mode: number
  readonly flags: number
  readonly name: string
  readonly fileSystem: FileSystem
}

const diskFs: FileSystem = { ...anonInodeFs, magic: 0xef53, noExec: false }

const kinds = {
  /** The reading end of a pipe. */
  pipe: {
    mode: FileType.fifo | 0o600,
    flags: OpenFlag.RDONLY,
    name: 'pipe:',
    fileSystem: { ...anonInodeFs, magic: 0x50495045 },
  },
  /** The null device. */
  null: { mode: FileType.character | 0o666, flags: OpenFlag.RDWR, name: '/dev/null', fileSystem: diskFs },
  eventfd: { mode: 0o600, flags: OpenFlag.RDWR, name: 'anon_inode:[eventfd]', fileSystem: anonInodeFs },
  directory: { mode: FileType.directory | 0o755, flags: OpenFlag.RDONLY, name: '/', fileSystem: diskFs },
  /** A directory opened O_PATH. */
  path: { mode: FileType.directory | 0o755, flags: OpenFlag.PATH, name: '/', fileSystem: diskFs },
} as const satisfies Record<string, SpecialFile>

export type SpecialKind = keyof typeof kinds

class Special extends OpenFile {}

export const openSpecial = (host: Host, kind: SpecialKind): OpenFile => {
  const { mode, flags, name, fileSystem } = kinds[kind]
  return new Special({ number: host.nextInode(), mode, links: 1, size: 0, name, fileSystem }, flags)
}
