// The ELF reader: a small executable made here, then every field of it wrong in turn.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readElf } from './elf.ts'
import { LoadError } from './load-error.ts'

interface Header {
  type?: number
  offset?: bigint
  vaddr?: bigint
  paddr?: bigint
  filesz?: bigint
  memsz?: bigint
}

const PHDR = 64
const DATA = 64 + 3 * 56

/** An executable of 16 bytes of contents after its program headers. */
function elf(entry: bigint, headers: Header[], edit?: (view: DataView) => void): Uint8Array {
  const file = new Uint8Array(DATA + 16)
  const view = new DataView(file.buffer)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  for (let i = 0; i < 16; i++) file[DATA + i] = 0xa0 + i
  view.setUint16(16, 2, true)
  view.setUint16(18, 243, true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, entry, true)
  view.setBigUint64(32, BigInt(PHDR), true)
  view.setUint16(54, 56, true)
  view.setUint16(56, headers.length, true)
  headers.forEach((header, i) => {
    const at = PHDR + i * 56
    view.setUint32(at, header.type ?? 1, true)
    view.setBigUint64(at + 8, header.offset ?? BigInt(DATA), true)
    view.setBigUint64(at + 16, header.vaddr ?? 0x80200000n, true)
    view.setBigUint64(at + 24, header.paddr ?? header.vaddr ?? 0x80200000n, true)
    view.setBigUint64(at + 32, header.filesz ?? 16n, true)
    view.setBigUint64(at + 40, header.memsz ?? 16n, true)
  })
  edit?.(view)
  return file
}

const good = (edit?: (view: DataView) => void): Uint8Array => elf(0x80200004n, [{}], edit)

/** The field and offset that reading `file` complains of. */
function complaint(file: Uint8Array): [string, number] {
  try {
    readElf(file)
  } catch (error) {
    if (error instanceof LoadError) return [error.field, error.offset]
    throw error
  }
  throw new Error('accepted')
}

describe('a good executable', () => {
  it('gives segments in order of address, with their zeroed tails', () => {
    const image = readElf(
      elf(0x80200004n, [
        { vaddr: 0x80300000n, filesz: 0n, memsz: 0x2000n },
        { memsz: 4096n },
        { type: 0x70000003, offset: 1n << 60n },
      ]),
    )
    expect(image.entry).toBe(0x80200004)
    expect(image.segments.map(({ gpa, data, memSize }) => [gpa, data.length, memSize])).toEqual([
      [0x80200000, 16, 4096],
      [0x80300000, 0, 0x2000],
    ])
    expect([...image.segments[0].data]).toEqual(Array.from({ length: 16 }, (_, i) => 0xa0 + i))
  })

  it('turns a virtual entry into the physical one, also in the upper half', () => {
    const image = readElf(elf(0xffffffff80000008n, [{ vaddr: 0xffffffff80000000n, paddr: 0x80200000n }]))
    expect([image.entry, image.segments[0].gpa]).toEqual([0x80200008, 0x80200000])
  })

  it('moves a position-independent one by the bias and leaves a fixed one', () => {
    const dynamic = elf(4n, [{ vaddr: 0n }], (view) => view.setUint16(16, 3, true))
    expect([readElf(dynamic, 0x80200000).entry, readElf(good(), 0x1000).entry]).toEqual([
      0x80200004, 0x80200004,
    ])
  })

  it('takes any flags: compressed, and every floating-point ABI', () => {
    for (const flags of [0, 1, 3, 5])
      expect(readElf(good((view) => view.setUint32(48, flags, true)))).toEqual(readElf(good()))
  })

  it('may lie anywhere in its buffer', () => {
    const padded = new Uint8Array([...new Uint8Array(3), ...good()])
    expect(readElf(padded.subarray(3)).entry).toBe(0x80200004)
  })
})

describe('a bad executable is refused by field and offset:', () => {
  it.each<[string, number, Uint8Array]>([
    ['e_ident magic', 0, Uint8Array.of(1, 2, 3, 4)],
    ['ELF header', 40, good().subarray(0, 40)],
    ['EI_CLASS', 4, good((view) => view.setUint8(4, 1))],
    ['EI_DATA', 5, good((view) => view.setUint8(5, 2))],
    ['EI_VERSION', 6, good((view) => view.setUint8(6, 0))],
    ['e_type', 16, good((view) => view.setUint16(16, 1, true))],
    ['e_machine', 18, good((view) => view.setUint16(18, 62, true))],
    ['e_version', 20, good((view) => view.setUint32(20, 2, true))],
    ['e_entry', 24, elf(0x80200003n, [{}])],
    ['e_entry', 24, elf(0x80200010n, [{}])],
    ['e_phoff', 32, good((view) => view.setBigUint64(32, 10_000n, true))],
    ['e_phoff', 32, good((view) => view.setBigUint64(32, 1n << 60n, true))],
    ['e_phentsize', 54, good((view) => view.setUint16(54, 32, true))],
    ['e_phnum', 56, elf(0n, [])],
    ['e_phnum', 56, elf(0n, [{ type: 2 }])],
    ['e_phnum', 56, good((view) => view.setUint16(56, 0xffff, true))],
    ['program header 0: p_type', PHDR, elf(0x80200000n, [{ type: 3 }, {}])],
    ['program header 0: p_offset', PHDR + 8, elf(0x80200000n, [{ offset: 1000n }])],
    [
      'program header 0: p_paddr',
      PHDR + 24,
      elf(0x80200000n, [{ vaddr: 0x80200000n, paddr: (1n << 53n) - 8n }]),
    ],
    ['program header 0: p_filesz', PHDR + 32, elf(0x80200000n, [{ filesz: 16n, memsz: 8n }])],
    ['program header 1: p_paddr', PHDR + 80, elf(0x80200000n, [{}, { vaddr: 0x80200008n }])],
  ])('%s at %i', (field, offset, file) => {
    expect(complaint(file)).toEqual([field, offset])
  })

  it('never anything but a LoadError, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(DATA + 15), fc.nat(255)), { maxLength: 6 }),
        fc.nat(DATA + 16),
        (edits, cut) => {
          const file = good()
          for (const [at, byte] of edits) file[at] = byte
          try {
            const { segments, entry } = readElf(file.subarray(0, cut))
            const home = segments.find(({ gpa, memSize }) => entry >= gpa && entry < gpa + memSize)
            expect(home).toBeDefined()
          } catch (error) {
            expect(error).toBeInstanceOf(LoadError)
          }
        },
      ),
    )
  })
})
