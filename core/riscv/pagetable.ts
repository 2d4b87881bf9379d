// Page-table formats: the entry shared by every RISC-V paging mode, Sv39 to Sv57 (VS stage) and Sv39x4 (G stage).
//
//  63  62 61  60   54 53                       28 27    19 18    10 9 8  7 6 5 4 3 2 1 0
// +---+------+-------+---------------------------+--------+--------+-----+-+-+-+-+-+-+-+-+
// | N | PBMT |  rsv  |          PPN[2]           | PPN[1] | PPN[0] | RSW |D|A|G|U|X|W|R|V|
// +---+------+-------+---------------------------+--------+--------+-----+-+-+-+-+-+-+-+-+
//
//  Sv39 virtual address, sign-extended from bit 38:
//   63        39 38      30 29      21 20      12 11         0
//  | = bit 38   |  VPN[2]  |  VPN[1]  |  VPN[0]  |  offset   |
//
//  Sv48 and Sv57 have one and two levels of nine bits more above.
//
//  Sv39x4 guest physical address: two more bits at the root, which is 16 KiB and 16 KiB aligned:
//   63        41 40      30 29      21 20      12 11         0
//  | zero       |  VPN[2]  |  VPN[1]  |  VPN[0]  |  offset   |
//
// Source: RISC-V privileged architecture 20240411, 12.3-12.6 (Sv32 to Sv57) and 18.5 (two-stage translation).
// Host memory is below 4 GiB, so an entry that points into it fits 32 bits and is an exact number here; guests
// may write any 64 bits into theirs, which only the generated walker reads.

import type { Pfn } from '../base/units.ts'

/** Bits of a page-table entry. */
export const Pte = {
  V: 1 << 0,
  R: 1 << 1,
  W: 1 << 2,
  X: 1 << 3,
  U: 1 << 4,
  G: 1 << 5,
  A: 1 << 6,
  D: 1 << 7,
} as const

/** Two bits for software, ignored by walkers. */
export const PTE_RSW = 3 << 8
/** The page number starts at this bit. */
export const PTE_PPN_SHIFT = 10
/** Bits of a page number in an entry. */
export const PTE_PPN_BITS = 44
/** N, PBMT and reserved bits start here: all must be zero without Svnapot and Svpbmt. */
export const PTE_RESERVED_SHIFT = 54
export const PTE_SIZE = 8

/** Root level of Sv39x4, as of Sv39: 2 has 1 GiB leaves, 1 has 2 MiB leaves, 0 has 4 KiB leaves. */
export const ROOT_LEVEL = 2
/** Index bits of every table but the Sv39x4 root. */
export const INDEX_BITS = 9
export const TABLE_ENTRIES = 1 << INDEX_BITS
/** The Sv39x4 root table is indexed by two bits more. */
export const GSTAGE_ROOT_ENTRIES = 1 << (INDEX_BITS + 2)
export const GSTAGE_ROOT_SIZE = GSTAGE_ROOT_ENTRIES * PTE_SIZE
/** Guest physical address bits of Sv39x4. */
export const SV39X4_BITS = 41

/** satp.MODE (bits 63:60). */
export const SatpMode = { BARE: 0, SV39: 8, SV48: 9, SV57: 10 } as const
/** Taken off a paging mode this gives its root level: 2, 3 or 4. */
export const SATP_MODE_TO_ROOT_LEVEL = 6

/** Bit position of a level's index in an address. */
export const levelShift = (level: number): number => 12 + INDEX_BITS * level

/** Entry that points to the next table in frame `table`. */
export const pteTable = (table: Pfn): number => table * 2 ** PTE_PPN_SHIFT + Pte.V
/**
 * Leaf for frame `frame` with the given R/W/X bits. U is set (G-stage accesses count as user accesses) and
 * A and D are preset, since no walker updates them at the G stage (D only where W is set).
 */
export const gstageLeaf = (frame: Pfn, permission: number): number =>
  frame * 2 ** PTE_PPN_SHIFT + (permission | Pte.V | Pte.U | Pte.A | (permission & Pte.W ? Pte.D : 0))
