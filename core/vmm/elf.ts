// Reads static ELF executables for 64-bit RISC-V.
//
// Source: System V ABI, Edition 4.1 with the ELF-64 object file format; RISC-V ELF psABI 1.0.

import { LoadError } from './load-error.ts'

const EHDR_SIZE = 64
const PHDR_SIZE = 56
const ET_EXEC = 2
const ET_DYN = 3
const EM_RISCV = 243
const PT_LOAD = 1
const PT_INTERP = 3
const PN_XNUM = 0xffff

/** One loadable piece: `data` at `gpa`, followed by zeroes up to `memSize` bytes. */
export interface Segment {
  /** Guest physical address in bytes (p_paddr plus the load bias). */
  readonly gpa: number
  /** File contents: a view into the file, not a copy. */
  readonly data: Uint8Array
  /** Bytes in memory, at least `data.length`. */
  readonly memSize: number
}

export interface ElfImage {
  /** Guest physical address of the first instruction. */
  readonly entry: number
  /** In order of address, never overlapping, none empty in memory. */
  readonly segments: readonly Segment[]
}

interface LoadHeader extends Segment {
  readonly index: number
  readonly vaddr: number
}

export const isElf = (file: Uint8Array): boolean =>
  file.length >= 4 && file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46

/**
 * Reads `file`. `bias` (bytes, page aligned) is added to every address of a position-independent executable
 * (ET_DYN), which relocates itself; ET_EXEC stays where it was linked.
 * Throws LoadError naming the first field that is wrong.
 */
export function readElf(file: Uint8Array, bias = 0): ElfImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const shift = readIdentity(file, view) === ET_DYN ? bias : 0
  const loads = readProgramHeaders(file, view, shift)
  return {
    entry: physicalEntry(virtualAddress(view, 24) + shift, loads),
    segments: loads.map(({ gpa, data, memSize }) => ({ gpa, data, memSize })),
  }
}

/** A 64-bit field as a number; no address or size this machine can hold is above 2^53. */
function u64(view: DataView, offset: number, field: string): number {
  const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32
  if (!Number.isSafeInteger(value))
    throw new LoadError(field, offset, 'larger than any address of this machine')
  return value
}

/** Checks the identity; e_type. The flags tell extensions and ABI, and this machine has all of them. */
function readIdentity(file: Uint8Array, view: DataView): number {
  if (!isElf(file)) throw new LoadError('e_ident magic', 0, 'not an ELF file')
  if (file.length < EHDR_SIZE)
    throw new LoadError('ELF header', file.length, `file ends after ${file.length} of ${EHDR_SIZE} bytes`)
  if (file[4] !== 2) throw new LoadError('EI_CLASS', 4, `${file[4]}, want 2 (64-bit)`)
  if (file[5] !== 1) throw new LoadError('EI_DATA', 5, `${file[5]}, want 1 (little endian)`)
  if (file[6] !== 1) throw new LoadError('EI_VERSION', 6, `${file[6]}, want 1`)
  const type = view.getUint16(16, true)
  if (type !== ET_EXEC && type !== ET_DYN)
    throw new LoadError('e_type', 16, `${type}, want 2 (executable) or 3 (position independent)`)
  const machine = view.getUint16(18, true)
  if (machine !== EM_RISCV) throw new LoadError('e_machine', 18, `${machine}, want ${EM_RISCV} (RISC-V)`)
  const version = view.getUint32(20, true)
  if (version !== 1) throw new LoadError('e_version', 20, `${version}, want 1`)
  return type
}

function readProgramHeaders(file: Uint8Array, view: DataView, shift: number): LoadHeader[] {
  const table = u64(view, 32, 'e_phoff')
  const size = view.getUint16(54, true)
  const count = view.getUint16(56, true)
  if (count === 0) throw new LoadError('e_phnum', 56, 'no program headers: nothing to load')
  if (count === PN_XNUM) throw new LoadError('e_phnum', 56, 'extended numbering is not supported')
  if (size !== PHDR_SIZE) throw new LoadError('e_phentsize', 54, `${size}, want ${PHDR_SIZE}`)
  if (table + count * PHDR_SIZE > file.length)
    throw new LoadError(
      'e_phoff',
      32,
      `${count} program headers at ${table} end after the file (${file.length})`,
    )

  const loads: LoadHeader[] = []
  for (let index = 0; index < count; index++) {
    const at = table + index * PHDR_SIZE
    const type = view.getUint32(at, true)
    if (type === PT_INTERP)
      throw new LoadError(
        `program header ${index}: p_type`,
        at,
        'needs a dynamic linker; want a static executable',
      )
    if (type === PT_LOAD) {
      const load = readLoad(file, view, at, index, shift)
      if (load.memSize > 0) loads.push(load)
    }
  }
  if (loads.length === 0) throw new LoadError('e_phnum', 56, 'no PT_LOAD program header with contents')
  return sorted(loads, table)
}

function readLoad(file: Uint8Array, view: DataView, at: number, index: number, shift: number): LoadHeader {
  const name = (field: string): string => `program header ${index}: ${field}`
  const offset = u64(view, at + 8, name('p_offset'))
  const vaddr = virtualAddress(view, at + 16)
  const paddr = u64(view, at + 24, name('p_paddr'))
  const fileSize = u64(view, at + 32, name('p_filesz'))
  const memSize = u64(view, at + 40, name('p_memsz'))
  if (fileSize > memSize)
    throw new LoadError(name('p_filesz'), at + 32, `${fileSize} exceeds p_memsz ${memSize}`)
  if (offset + fileSize > file.length)
    throw new LoadError(
      name('p_offset'),
      at + 8,
      `${offset} + ${fileSize} is after the file's end (${file.length})`,
    )
  if (!Number.isSafeInteger(paddr + shift + memSize))
    throw new LoadError(name('p_paddr'), at + 24, 'segment ends beyond any address of this machine')
  return {
    index,
    vaddr: vaddr + shift,
    gpa: paddr + shift,
    data: file.subarray(offset, offset + fileSize),
    memSize,
  }
}

/**
 * A virtual address, negative in the upper half where kernels may be linked: Sv39 to Sv57 addresses are sign
 * extended, so all fit, and only their differences matter here.
 */
function virtualAddress(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getInt32(offset + 4, true) * 2 ** 32
}

function sorted(loads: LoadHeader[], table: number): LoadHeader[] {
  loads.sort((a, b) => a.gpa - b.gpa)
  for (let i = 1; i < loads.length; i++) {
    const [before, after] = [loads[i - 1], loads[i]]
    if (before.gpa + before.memSize > after.gpa)
      throw new LoadError(
        `program header ${after.index}: p_paddr`,
        table + after.index * PHDR_SIZE + 24,
        `overlaps program header ${before.index}`,
      )
  }
  return loads
}

/** e_entry is virtual; the machine starts without translation, so it becomes an address in its segment. */
function physicalEntry(entry: number, loads: readonly LoadHeader[]): number {
  if (entry % 2 !== 0) throw new LoadError('e_entry', 24, `0x${entry.toString(16)} is odd`)
  const home = loads.find((load) => entry >= load.vaddr && entry < load.vaddr + load.memSize)
  if (home === undefined)
    throw new LoadError('e_entry', 24, `0x${entry.toString(16)} lies in no loaded segment`)
  return entry - home.vaddr + home.gpa
}
