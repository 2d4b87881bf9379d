// Guest page tables for tests and measurements.

import { Pte } from '../../riscv/pagetable.ts'
import { RAM, TestMachine } from './machine.ts'

/** Guest physical pages the tables of `mapSv39` take: root, middle, leaves. */
export const SV39_TABLES = RAM + 0x40000
export const SV39_ROOT = SV39_TABLES
export const SV39_MID = SV39_TABLES + 0x1000
export const SV39_LEAVES = SV39_TABLES + 0x2000

/** satp for those tables. */
export const SATP = (8n << 60n) | (BigInt(SV39_ROOT) >> 12n)

/** Writes entry `index` of the guest table at `table` (a guest physical address). */
export function writeGuestPte(m: TestMachine, table: number, index: number, entry: bigint): void {
  m.writePte(m.host(table), index, entry)
}

/**
 * Translates RAM to itself by 4 KiB pages with the given flags (V is added) for its first 512 pages, and sets satp.
 */
export function mapSv39(m: TestMachine, flags: number): void {
  writeGuestPte(m, SV39_ROOT, RAM / 2 ** 30, TestMachine.pte(SV39_MID, Pte.V))
  writeGuestPte(m, SV39_MID, 0, TestMachine.pte(SV39_LEAVES, Pte.V))
  for (let page = 0; page < 512; page++) mapPage(m, RAM + page * 4096, RAM + page * 4096, flags)
  m.set('SATP', SATP)
  m.engine.flushTlb()
}

/** Maps one page of the 2 MiB at RAM's virtual address. */
export function mapPage(m: TestMachine, va: number, gpa: number, flags: number): void {
  writeGuestPte(m, SV39_LEAVES, (va - RAM) / 4096, TestMachine.pte(gpa, flags | Pte.V))
}
