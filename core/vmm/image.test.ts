// The Linux Image header reader.
import { describe, expect, it } from 'vitest'
import { detectFormat, isLinuxImage, readLinuxImage } from './image.ts'
import { LoadError } from './load-error.ts'

/** A kernel of 128 bytes that takes 1 MiB. */
function kernel(edit?: (view: DataView) => void): Uint8Array {
  const file = new Uint8Array(128)
  const view = new DataView(file.buffer)
  view.setBigUint64(0x08, 0x200000n, true)
  view.setBigUint64(0x10, 0x100000n, true)
  view.setUint32(0x20, 2, true)
  file.set([0x52, 0x53, 0x43, 0x05], 0x38)
  edit?.(view)
  return file
}

const fault = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof LoadError) return `${error.field}@${error.offset}`
  }
  return 'accepted'
}

it('reads where the kernel goes and how much memory it takes', () => {
  const file = kernel()
  expect(readLinuxImage(file)).toEqual({ textOffset: 0x200000, imageSize: 0x100000, version: 2, data: file })
})

describe('refuses', () => {
  it.each([
    ['text_offset@8', (view: DataView) => view.setUint32(0x08, 0x200001, true)],
    ['text_offset@8', (view: DataView) => view.setUint32(0x0c, 0x80000000, true)],
    ['image_size@16', (view: DataView) => view.setUint32(0x10, 127, true)],
    ['flags@24', (view: DataView) => view.setUint8(0x18, 1)],
    ['magic2@56', (view: DataView) => view.setUint8(0x3b, 4)],
  ])('a wrong %s', (name, edit) => {
    expect(fault(() => readLinuxImage(kernel(edit)))).toBe(name)
  })

  it('a header cut short', () => {
    expect(fault(() => readLinuxImage(kernel().subarray(0, 63)))).toBe('Image header@63')
  })
})

describe('detection', () => {
  it('tells ELF, Image and neither apart', () => {
    expect(detectFormat(kernel())).toBe('linux-image')
    expect(detectFormat(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46))).toBe('elf')
    expect(isLinuxImage(kernel().subarray(0, 60))).toBe(false)
  })

  it.each([
    [/empty/, new Uint8Array(0)],
    [/gzip/, Uint8Array.of(0x1f, 0x8b, 8)],
    [/xz/, Uint8Array.of(0xfd, 0x37, 0x7a)],
    [/zstd/, Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)],
    [/ARM64/, kernel((view) => view.setUint32(0x38, 0x644d5241, true))],
    [/EFI/, Uint8Array.of(0x4d, 0x5a, 0)],
    [/neither/, Uint8Array.of(1, 2, 3)],
  ])('says what the file is instead: %s', (message, file) => {
    expect(() => detectFormat(file)).toThrow(LoadError)
    expect(() => detectFormat(file)).toThrow(message)
  })
})
