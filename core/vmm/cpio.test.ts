import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CpioEntry, writeCpio } from './cpio.ts'

interface Unpacked {
  readonly path: string
  readonly mode: number
  readonly device: readonly number[]
  readonly data: Uint8Array
}

/** An independent reader: fields by their offsets in the header, as cpio(5) has them. */
function unpack(archive: Uint8Array): { entries: Unpacked[]; inodes: number[] } {
  const text = (from: number, to: number): string => String.fromCharCode(...archive.subarray(from, to))
  const entries: Unpacked[] = []
  const inodes: number[] = []
  for (let at = 0; ; ) {
    expect(text(at, at + 6)).toBe('070701')
    const field = (i: number): number => Number.parseInt(text(at + 6 + 8 * i, at + 14 + 8 * i), 16)
    const [size, nameSize] = [field(6), field(11)]
    const path = text(at + 110, at + 110 + nameSize - 1)
    expect(archive[at + 110 + nameSize - 1]).toBe(0)
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4
    if (path === 'TRAILER!!!') {
      expect(start).toBe(archive.length)
      return { entries, inodes }
    }
    inodes.push(field(0))
    const data = archive.slice(start, start + size)
    entries.push({ path, mode: field(1), device: [field(9), field(10)], data })
    at = Math.ceil((start + size) / 4) * 4
  }
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

describe('cpio', () => {
  it('keeps kinds, modes, contents and device numbers', () => {
    const { entries, inodes } = unpack(
      writeCpio([
        { path: 'bin', kind: 'directory' },
        { path: 'bin/busybox', kind: 'file', data: bytes('\x7fELF!'), mode: 0o755 },
        { path: 'bin/sh', kind: 'symlink', target: 'busybox' },
        { path: 'dev', kind: 'directory', mode: 0o700 },
        { path: 'dev/console', kind: 'device', major: 5, minor: 1 },
        { path: 'empty', kind: 'file', data: bytes('') },
      ]),
    )
    expect(entries).toEqual([
      { path: 'bin', mode: 0o040755, device: [0, 0], data: bytes('') },
      { path: 'bin/busybox', mode: 0o100755, device: [0, 0], data: bytes('\x7fELF!') },
      { path: 'bin/sh', mode: 0o120777, device: [0, 0], data: bytes('busybox') },
      { path: 'dev', mode: 0o040700, device: [0, 0], data: bytes('') },
      { path: 'dev/console', mode: 0o020600, device: [5, 1], data: bytes('') },
      { path: 'empty', mode: 0o100644, device: [0, 0], data: bytes('') },
    ])
    expect(new Set(inodes).size).toBe(entries.length)
  })

  it('gives back any files, whatever their names and lengths', () => {
    const name = fc.stringMatching(/^[!-.0-~]{1,12}$/).filter((path) => !/^\.\.?$/.test(path))
    const files = fc.uniqueArray(fc.record({ path: name, data: fc.uint8Array({ maxLength: 40 }) }), {
      selector: ({ path }) => path,
    })
    fc.assert(
      fc.property(files, (list) => {
        const { entries } = unpack(writeCpio(list.map((file) => ({ ...file, kind: 'file' }))))
        expect(entries.map(({ path, data }) => ({ path, data: [...data] }))).toEqual(
          list.map(({ path, data }) => ({ path, data: [...data] })),
        )
      }),
    )
  })

  const file = (path: string): CpioEntry => ({ path, kind: 'file', data: bytes('x') })
  it.each<[string, CpioEntry[], string]>([
    ['a path out of the archive', [file('../etc/passwd')], 'no path'],
    ['an absolute path', [file('/init')], 'no path'],
    ['the end mark as a name', [file('TRAILER!!!')], 'no path'],
    ['a file before its directory', [file('bin/sh')], 'before its directory bin'],
    ['a file below a file', [file('bin'), file('bin/sh')], 'before its directory bin'],
    ['the same path twice', [file('init'), file('init')], 'twice'],
    ['a name that is not ASCII', [file('büsybox')], 'not ASCII'],
  ])('refuses %s', (_what, entries, message) => {
    expect(() => writeCpio(entries)).toThrow(message)
  })
})
