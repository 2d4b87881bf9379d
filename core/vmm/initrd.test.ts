import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { writeCpio } from './cpio.ts'
import { initrdFormat } from './initrd.ts'

const archive = writeCpio([{ path: 'dev', kind: 'directory' }])

it('knows an archive, plain or compressed', () => {
  expect(initrdFormat(archive)).toBe('cpio')
  expect(initrdFormat(gzipSync(archive))).toBe('gzip')
  expect(initrdFormat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0))).toBe('zstd')
})

it.each([
  ['an empty file', new Uint8Array(0), 'empty'],
  ['a cut magic', archive.subarray(0, 3), 'no initial RAM disk'],
  ['a kernel', Uint8Array.of(0x4d, 0x5a, 0x6f, 0x10), 'no initial RAM disk'],
])('refuses %s', (_what, file, message) => {
  expect(() => initrdFormat(file)).toThrow(message)
})
