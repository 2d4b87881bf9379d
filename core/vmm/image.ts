// Reads the header of an uncompressed RISC-V Linux kernel ("Image").
//
// Source: Linux Documentation/arch/riscv/boot-image-header.rst, header version 0.2.

import { isElf } from './elf.ts'
import { LoadError } from './load-error.ts'

const HEADER_SIZE = 64
const TEXT_OFFSET = 0x08
const IMAGE_SIZE = 0x10
const FLAGS = 0x18
const VERSION = 0x20
const MAGIC2 = 0x38
/** "RSC\x05", little endian; the older 8-byte magic at 0x30 is deprecated since version 0.2. */
const MAGIC2_VALUE = 0x05435352
const FLAG_BIG_ENDIAN = 1

export interface LinuxImage {
  /** Load at a 2 MiB aligned RAM start plus this many bytes; the first instruction is the first byte. */
  readonly textOffset: number
  /** Bytes of memory it takes from there, its zeroed part included: more than the file. */
  readonly imageSize: number
  /** Header version: major in the upper, minor in the lower half. */
  readonly version: number
  /** The whole file. */
  readonly data: Uint8Array
}

export const isLinuxImage = (file: Uint8Array): boolean =>
  file.length >= HEADER_SIZE && word(file, MAGIC2) === MAGIC2_VALUE

/** Reads `file`, which `isLinuxImage` accepted. Throws LoadError naming the first field that is wrong. */
export function readLinuxImage(file: Uint8Array): LinuxImage {
  if (file.length < HEADER_SIZE)
    throw new LoadError('Image header', file.length, `file ends after ${file.length} of ${HEADER_SIZE} bytes`)
  if (!isLinuxImage(file)) throw new LoadError('magic2', MAGIC2, 'want "RSC\\x05"')
  if (word(file, FLAGS) & FLAG_BIG_ENDIAN)
    throw new LoadError('flags', FLAGS, 'a big-endian kernel; want little endian')
  const textOffset = long(file, TEXT_OFFSET, 'text_offset')
  if (textOffset % 4096 !== 0)
    throw new LoadError('text_offset', TEXT_OFFSET, `${textOffset} is not page aligned`)
  const imageSize = long(file, IMAGE_SIZE, 'image_size')
  if (imageSize < file.length)
    throw new LoadError('image_size', IMAGE_SIZE, `${imageSize} is less than the file (${file.length} bytes)`)
  return { textOffset, imageSize, version: word(file, VERSION), data: file }
}

/** Which loader reads `file`. Throws LoadError when none does, saying what the file looks like. */
export function detectFormat(file: Uint8Array): 'elf' | 'linux-image' {
  if (isElf(file)) return 'elf'
  if (isLinuxImage(file)) return 'linux-image'
  throw new LoadError('magic', 0, `neither an ELF file nor a RISC-V Linux Image${guess(file)}`)
}

function guess(file: Uint8Array): string {
  if (file.length === 0) return ': the file is empty'
  const starts = (...bytes: number[]): boolean => bytes.every((byte, i) => file[i] === byte)
  if (starts(0x1f, 0x8b)) return ': gzip data, uncompress it first'
  if (starts(0xfd, 0x37, 0x7a)) return ': xz data, uncompress it first'
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return ': zstd data, uncompress it first'
  if (file.length >= HEADER_SIZE && word(file, MAGIC2) === 0x644d5241) return ': a Linux Image for ARM64'
  if (starts(0x4d, 0x5a)) return ': an EFI program that is not a RISC-V kernel'
  return ''
}

const word = (file: Uint8Array, at: number): number =>
  (file[at] | (file[at + 1] << 8) | (file[at + 2] << 16) | (file[at + 3] << 24)) >>> 0

function long(file: Uint8Array, at: number, field: string): number {
  const value = word(file, at) + word(file, at + 4) * 2 ** 32
  if (!Number.isSafeInteger(value)) throw new LoadError(field, at, 'larger than any address of this machine')
  return value
}
