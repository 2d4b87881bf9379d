// The parcel table in shared memory: who has offered which memory to whom. The hypervisor worker writes; the page reads.
//
// A row per parcel and borrower. A generation word before the rows is odd while they are being rewritten (a seqlock, as
// in tables.ts).

import { type HostLayout, MAX_PARCEL_ROWS, PARCEL_HEADER_BYTES, PARCEL_ROW_BYTES } from './layout.ts'

export interface ParcelRow {
  readonly handle: number
  readonly owner: number
  /** vmid of who may accept it. */
  readonly borrower: number
  /** 0 lend, 1 share, 2 donate. */
  readonly kind: number
  /** Bits: X 1, W 2, R 4. */
  readonly rights: number
  /** 0 INIT, 1 SHARING, 2 SHARED. */
  readonly state: number
  /** The borrower has it in its address space. */
  readonly accepted: boolean
  /** First address: the borrower's where it has accepted, else the owner's. */
  readonly ipa: number
  readonly pages: number
}

/** u32 words of the header. */
const Word = { GENERATION: 0, ROWS: 1, TRUNCATED: 2 } as const
const READ_ATTEMPTS = 64

export class ParcelTable {
  readonly #u32: Uint32Array
  readonly #f64: Float64Array
  readonly #at: number

  constructor(buffer: SharedArrayBuffer, layout: HostLayout) {
    this.#u32 = new Uint32Array(buffer)
    this.#f64 = new Float64Array(buffer)
    this.#at = layout.parcels
  }

  #word(word: number): number {
    return Atomics.load(this.#u32, this.#at / 4 + word)
  }

  #setWord(word: number, value: number): void {
    Atomics.store(this.#u32, this.#at / 4 + word, value)
  }

  #row(row: number): number {
    return this.#at + PARCEL_HEADER_BYTES + row * PARCEL_ROW_BYTES
  }

  /** Writes the table anew, as many rows as fit. */
  write(rows: readonly ParcelRow[]): void {
    const generation = this.#word(Word.GENERATION)
    this.#setWord(Word.GENERATION, generation + 1)
    const shown = rows.slice(0, MAX_PARCEL_ROWS)
    for (const [i, row] of shown.entries()) {
      const at = this.#row(i)
      const bits = row.kind | (row.rights << 8) | (row.state << 16) | (row.accepted ? 1 << 24 : 0)
      this.#u32.set([row.handle, row.owner, row.borrower, bits], at / 4)
      this.#f64.set([row.ipa, row.pages], at / 8 + 2)
    }
    this.#setWord(Word.ROWS, shown.length)
    this.#setWord(Word.TRUNCATED, rows.length > shown.length ? 1 : 0)
    this.#setWord(Word.GENERATION, generation + 2)
  }

  /** There are more rows than the table holds; the first ones are shown. */
  get truncated(): boolean {
    return this.#word(Word.TRUNCATED) !== 0
  }

  /** The rows; after many torn attempts the last (the next frame reads again). */
  read(): ParcelRow[] {
    for (let attempt = 0; ; attempt++) {
      const before = this.#word(Word.GENERATION)
      const count = Math.min(this.#word(Word.ROWS), MAX_PARCEL_ROWS)
      const rows = Array.from({ length: count }, (_, i) => this.#readRow(this.#row(i)))
      if ((before % 2 === 0 && this.#word(Word.GENERATION) === before) || attempt === READ_ATTEMPTS)
        return rows
    }
  }

  #readRow(at: number): ParcelRow {
    const [handle, owner, borrower, bits] = this.#u32.subarray(at / 4, at / 4 + 4)
    return {
      handle,
      owner,
      borrower,
      kind: bits & 0xff,
      rights: (bits >> 8) & 0xff,
      state: (bits >> 16) & 0xff,
      accepted: bits >> 24 !== 0,
      ipa: this.#f64[at / 8 + 2],
      pages: this.#f64[at / 8 + 3],
    }
  }
}
