// Unsigned and signed 64-bit words as JavaScript numbers, exact in everything the kernel asks of them.
//
// A double holds 53 bits. A word beyond that keeps its page number (word / 4096) and whether it is page aligned
// exactly: an unaligned one becomes the middle of its page, which a double always represents, or, below 2^63, three
// quarters of it when it is the page's last byte. So comparisons by page, alignment and bounds checks give what 64-bit
// arithmetic gives, without BigInt.

import { PAGE_SIZE } from './units.ts'

const TWO_32 = 0x1_0000_0000
const HALF_PAGE = 2048
/** Stands for the last byte of a page where a double does not hold it. */
const LAST_BYTE = 3072

/** Page count above any 64-bit address: 2^64 / 4096. */
export const U64_PAGES = 2 ** 52
/** Page count above any signed 64-bit offset: 2^63 / 4096. */
export const S64_PAGES = 2 ** 51

/** Joins two 32-bit halves (any sign) to a number with the promise above. */
export const joinU64 = (low: number, high: number): number => {
  const upper = high >>> 0
  const lower = low >>> 0
  if (upper < 0x20_0000) return upper * TWO_32 + lower
  const inPage = lower & (PAGE_SIZE - 1)
  const kept = inPage === PAGE_SIZE - 1 && upper < 0x8000_0000 ? LAST_BYTE : inPage && HALF_PAGE
  return upper * TWO_32 + (lower - inPage) + kept
}

/** Reads a little-endian u64 at byte `at`. */
export const readU64 = (view: DataView, at: number): number =>
  joinU64(view.getInt32(at, true), view.getInt32(at + 4, true))

/** Writes a non-negative number below 2^64 as a little-endian u64. */
export const writeU64 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, value % TWO_32, true)
  view.setUint32(at + 4, Math.floor(value / TWO_32), true)
}

/** A 64-bit word given as a number or as a BigInt, by the same promise; negative stays negative. */
export const numberFromWord = (word: number | bigint): number => {
  if (typeof word === 'number') return word
  if (word < 0n) return -numberFromWord(-word)
  return joinU64(Number(word & 0xffff_ffffn), Number(word >> 32n))
}

/** The word as unsigned: what `(u64)value` gives for a negative number. */
export const asUnsigned = (value: number): number => {
  if (value >= 0) return value
  const pages = Math.floor(value / PAGE_SIZE)
  return (U64_PAGES + pages) * PAGE_SIZE + (value % PAGE_SIZE === 0 ? 0 : HALF_PAGE)
}

export const isPageAligned = (value: number): boolean => value % PAGE_SIZE === 0

/** True when `flags` (a u64) has a bit outside the 32-bit mask `known`. */
export const hasUnknownBits = (flags: number, known: number): boolean =>
  flags >= TWO_32 || (flags & ~known) !== 0

/** Bytes into the page, the last one exactly. */
const inPageOf = (value: number): number => {
  const bytes = value % PAGE_SIZE
  return value > Number.MAX_SAFE_INTEGER && bytes === LAST_BYTE ? PAGE_SIZE - 1 : bytes
}

/** Page number of `a + b`, both non-negative, exact where the sum itself is not. */
export const pageOfSum = (a: number, b: number): number =>
  Math.floor(a / PAGE_SIZE) + Math.floor(b / PAGE_SIZE) + (inPageOf(a) + inPageOf(b) >= PAGE_SIZE ? 1 : 0)
