// Recognises initial RAM disks: what Linux can unpack, and what a person may have taken for one.

import { LoadError } from './load-error.ts'

/** Formats by their first bytes (lib/decompress.c and init/initramfs.c of Linux). */
const FORMATS: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ['cpio', [0x30, 0x37, 0x30, 0x37, 0x30]],
  ['gzip', [0x1f, 0x8b]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]

/** How the archive is packed. Throws LoadError for what Linux would not unpack. */
export function initrdFormat(file: Uint8Array): string {
  const found = FORMATS.find(([, magic]) => magic.every((byte, i) => file[i] === byte))
  if (found) return found[0]
  const empty = file.length === 0 ? ': the file is empty' : ''
  throw new LoadError(
    'magic',
    0,
    `no initial RAM disk: neither a cpio archive nor one compressed with gzip, xz, zstd, lz4, lzma, lzo or bzip2${empty}`,
  )
}
