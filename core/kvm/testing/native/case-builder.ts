// What the generators of cases have in common: a seeded source of choices, and a case under construction that knows
// which names it has made.

import type { Plan, Request } from './recorder.ts'

/** An integer as the document writes it. */
export type Word = number | string

const SAFE = 2n ** 53n - 1n

/** A u64 as the document writes it. */
export const unsigned = (value: bigint): Word => (value <= SAFE ? Number(value) : `0x${value.toString(16)}`)

/** An s64 as the document writes it. */
export const signed = (value: bigint): Word =>
  value <= SAFE && value >= -SAFE ? Number(value) : value.toString()

/** Choices that follow from a seed (mulberry32). */
export class Chooser {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** An integer of [0, end). */
  below(end: number): number {
    return this.#next() % end
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }

  /** A mask of some of the bits. */
  bits(list: readonly number[], most = 3): number {
    let mask = 0
    for (let n = this.below(most + 1); n > 0; n--) mask |= this.of(list)
    return mask
  }
}

export const PAGE = 4096

/** Numbers at which something may change, as u64. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  4095n,
  4096n,
  4097n,
  8192n,
  65536n,
  2n ** 21n,
  2n ** 31n,
  2n ** 32n,
  2n ** 32n + 4096n,
  2n ** 43n - 4096n,
  2n ** 43n,
  2n ** 46n,
  2n ** 47n - 8192n,
  2n ** 47n - 4096n,
  2n ** 47n,
  2n ** 48n,
  2n ** 52n,
  2n ** 53n,
  2n ** 63n - 4096n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 8192n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
]

export const edge = (choose: Chooser): Word => unsigned(choose.of(EDGES))
export const signedEdge = (choose: Chooser): Word =>
  signed(BigInt.asIntN(64, choose.of(EDGES) * (choose.oneIn(4) ? -1n : 1n)))

/** Pages as bytes, off by one now and then. */
export const nearPages = (choose: Chooser, pages: number): number =>
  Math.max(0, choose.below(pages + 1) * PAGE + (choose.oneIn(12) ? choose.of([-1, 1, 2048]) : 0))

export interface GmemName {
  readonly name: string
  readonly pages: number
  readonly flags: number
}

export interface MapName {
  readonly name: string
  readonly pages: number
}

/** A case being put together. Names are used as if every call that makes one succeeded. */
export class CaseBuilder {
  readonly choose: Chooser
  readonly steps: Request[] = []
  readonly vms: string[] = []
  readonly gmems: GmemName[] = []
  readonly maps: MapName[] = []
  readonly anons: MapName[] = []
  readonly others: { readonly name: string; readonly kind: string }[] = []
  readonly #counts = new Map<string, number>()

  constructor(choose: Chooser) {
    this.choose = choose
  }

  step(op: string, fields: Record<string, unknown>): void {
    this.steps.push({ op, ...fields })
  }

  name(letter: string): string {
    const n = this.#counts.get(letter) ?? 0
    this.#counts.set(letter, n + 1)
    return `${letter}${n}`
  }

  vm(): string {
    const as = this.name('vm')
    this.step('create_vm', { type: 0, as })
    this.vms.push(as)
    return as
  }

  gmem(pages: number, flags: number, vm = this.vms[0]): GmemName {
    const as = this.name('g')
    this.step('create_guest_memfd', { vm, size: pages * PAGE, flags, as })
    const made = { name: as, pages, flags }
    this.gmems.push(made)
    return made
  }

  anon(pages: number): MapName {
    const as = this.name('a')
    this.step('mmap_anon', { len: pages * PAGE, as })
    const made = { name: as, pages }
    this.anons.push(made)
    return made
  }

  other(kind: string): string {
    const as = this.name('f')
    this.step('open_other', { kind, as })
    this.others.push({ name: as, kind })
    return as
  }

  map(fd: unknown, pages: number, prot: number, flags: number, offset: Word): MapName {
    const as = this.name('m')
    this.step('mmap', { fd, prot, flags, len: pages * PAGE, offset, as })
    const made = { name: as, pages }
    this.maps.push(made)
    return made
  }

  plan(group: string, id: string): Plan {
    return { id: `${group}/${id}`, group, steps: this.steps }
  }
}
