// Files that a person offers as a guest, looked at before they are kept or booted.

import { readElf } from '../vmm/elf.ts'
import { detectFormat, readLinuxImage } from '../vmm/image.ts'
import { initrdFormat } from '../vmm/initrd.ts'

/** What a kernel file is, in a few words. Throws LoadError with the reason when it is none for this machine. */
export const describeKernel = (file: Uint8Array): string => {
  if (detectFormat(file) === 'linux-image') {
    const { imageSize } = readLinuxImage(file)
    return `Linux Image, ${Math.ceil(imageSize / 2 ** 20)} MiB in memory`
  }
  readElf(file)
  return 'ELF'
}

/** What an initial RAM disk is. Throws LoadError. */
export const describeInitrd = (file: Uint8Array): string => {
  const format = initrdFormat(file)
  return format === 'cpio' ? 'cpio archive' : `cpio archive, ${format}`
}
