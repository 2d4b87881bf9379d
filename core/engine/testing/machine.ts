// A bare test machine: one vCPU block, a G stage built by hand, and programs given as assembly text.

import { hpa, type Pfn, pfn } from '../../base/units.ts'
import { assemble } from '../../riscv/asm.ts'
import { GSTAGE_ROOT_SIZE, gstageLeaf, levelShift, Pte, pteTable } from '../../riscv/pagetable.ts'
import { Engine } from '../engine.ts'
import { TLB_BYTES, TLB_ENTRIES, TLB_ENTRY_SIZE, VCPU_BLOCK_SIZE, Vcpu } from '../vcpu-block.ts'

const PAGE = 4096
/** Guest RAM starts here, and is RAM_PAGES long. */
export const RAM = 0x80000000
export const RAM_PAGES = 256
const BLOCK = 0x10000
const ROOT = BLOCK + VCPU_BLOCK_SIZE
/** Host address of the G-stage tables, which end where guest RAM begins. */
export const HOST_TABLES = ROOT
const MID = ROOT + GSTAGE_ROOT_SIZE
const LEAVES = MID + PAGE
/** Host address of guest RAM. */
export const RAM_HPA = LEAVES + PAGE
const MEMORY_PAGES = Math.ceil((RAM_HPA + RAM_PAGES * PAGE) / 65536) + 1

export const RWX: number = Pte.R | Pte.W | Pte.X

/** One vCPU in VS mode at RAM, translation off, RAM mapped read-write-execute by 4 KiB G-stage leaves. */
export class TestMachine {
  readonly memory = new WebAssembly.Memory({ shared: true, initial: MEMORY_PAGES, maximum: MEMORY_PAGES })
  readonly u64 = new BigUint64Array(this.memory.buffer)
  readonly u32 = new Uint32Array(this.memory.buffer)
  readonly u8 = new Uint8Array(this.memory.buffer)
  readonly engine: Engine
  /** The host clock, in ticks. */
  clock: () => number = () => 0

  constructor() {
    this.engine = new Engine(this.memory, hpa(BLOCK), () => this.clock())
    this.u32[(BLOCK + Vcpu.HGATP_ROOT) / 4] = ROOT
    this.writePte(ROOT, Math.floor(RAM / 2 ** levelShift(2)), pteTable(pfn(MID / PAGE)))
    this.writePte(MID, 0, pteTable(pfn(LEAVES / PAGE)))
    for (let page = 0; page < RAM_PAGES; page++) this.mapGstage(page, RWX)
    this.set('PC', BigInt(RAM))
    this.set('STIMECMP', 2n ** 64n - 1n)
    this.set32('PRIV', 1)
  }

  /** An i64 field of the vCPU block, unsigned. */
  get(field: keyof typeof Vcpu): bigint {
    return this.u64[(BLOCK + Vcpu[field]) / 8]
  }
  set(field: keyof typeof Vcpu, value: bigint): void {
    this.u64[(BLOCK + Vcpu[field]) / 8] = BigInt.asUintN(64, value)
  }
  get32(field: keyof typeof Vcpu): number {
    return this.u32[(BLOCK + Vcpu[field]) / 4]
  }
  set32(field: keyof typeof Vcpu, value: number): void {
    this.u32[(BLOCK + Vcpu[field]) / 4] = value
  }
  setTimeDelta(ticks: number): void {
    new Float64Array(this.memory.buffer)[(BLOCK + Vcpu.TIME_DELTA) / 8] = ticks
  }
  /** Host address of a field of the vCPU block. */
  fieldAddress(field: keyof typeof Vcpu): number {
    return BLOCK + Vcpu[field]
  }
  x(register: number): bigint {
    return this.u64[BLOCK / 8 + register]
  }
  setX(register: number, value: bigint): void {
    this.u64[BLOCK / 8 + register] = BigInt.asUintN(64, value)
  }

  /** Writes entry `index` of the table at host address `table`. */
  writePte(table: number, index: number, entry: number | bigint): void {
    this.u64[table / 8 + index] = BigInt(entry)
  }
  /** Maps RAM page `page` to its frame (or another) with R/W/X bits; no bits unmap it. */
  mapGstage(page: number, permission: number, frame: Pfn = pfn(RAM_HPA / PAGE + page)): void {
    this.writePte(LEAVES, page, permission ? gstageLeaf(frame, permission) : 0)
  }
  /** Tag of the TLB entry for virtual address `va` in an array of TlbArray. */
  tlbTag(array: number, va: number): bigint {
    const entry = (va / PAGE) % TLB_ENTRIES
    return this.u64[(BLOCK + Vcpu.TLB + array * TLB_BYTES + entry * TLB_ENTRY_SIZE) / 8]
  }
  /** Replaces the G-stage leaf of RAM page `page` by any entry. */
  setGstageEntry(page: number, entry: number | bigint): void {
    this.writePte(LEAVES, page, entry)
  }
  /** Replaces an entry of the G-stage root (1 GiB each) or of RAM's middle table (2 MiB each). */
  setGstageUpper(level: 1 | 2, index: number, entry: number | bigint): void {
    this.writePte(level === 2 ? ROOT : MID, index, entry)
  }

  /** Puts a program at a guest physical address (RAM by default). */
  load(source: string, gpa = RAM): void {
    this.u8.set(new Uint8Array(assemble(source, gpa).buffer), this.host(gpa))
  }
  /** Host address of a guest physical address in RAM, by the machine's own mapping. */
  host(gpa: number): number {
    return RAM_HPA + (gpa - RAM)
  }

  /** Loads a program at RAM and runs it from there to its exit. */
  run(source: string): number {
    this.load(source)
    this.set('PC', BigInt(RAM))
    return this.engine.run()
  }

  /** Sv39 entry for a guest physical address with any flag bits. */
  static pte(gpa: number, flags: number): bigint {
    return ((BigInt(gpa) >> 12n) << 10n) | BigInt(flags)
  }
}
