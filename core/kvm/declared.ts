// The guest's declared state of a software-protected RISC-V VM (project-own; upstream RISC-V KVM has none).
//
// Per gfn, what the guest believes: RAM of a guest_memfd slot starts private (where memory is converted in place: as
// the file's pages are when the slot appears), everything else is shared. Only a completed share or unshare changes
// it afterwards: not memory attributes, not deleting and recreating a slot. So an access to a page that the VMM
// converted behind the guest's back is caught (fault.ts).

import { XArray } from '../base/xarray.ts'
import { type MachineTables, mirrorRange } from '../host/tables.ts'

const PRIVATE = 1
const SHARED = 2

export class DeclaredState {
  readonly #tables: MachineTables
  readonly #row: number
  readonly #states = new XArray<number>()

  constructor(tables: MachineTables, row: number) {
    this.#tables = tables
    this.#row = row
  }

  isPrivate(gfn: number): boolean {
    return this.#states.get(gfn) === PRIVATE
  }

  /** RAM appeared in a slot with a guest_memfd: gfns [start, end) that the guest never declared are private, or not. */
  slotCreated(start: number, end: number, isPrivate = true): void {
    const gaps: [number, number][] = []
    let at = start
    this.#states.forRange(start, end, (_state, from, to) => {
      if (from > at) gaps.push([at, from])
      at = to
    })
    if (at < end) gaps.push([at, end])
    for (const [from, to] of gaps) this.#set(from, to, isPrivate ? PRIVATE : SHARED)
  }

  /** The guest's share of gfns [start, end) has completed. */
  completeShare(start: number, end: number): void {
    this.#set(start, end, SHARED)
  }

  /** The guest's unshare of gfns [start, end) has completed. */
  completeUnshare(start: number, end: number): void {
    this.#set(start, end, PRIVATE)
  }

  /** True when every gfn of [start, end) is declared private (or, with false, none is). */
  isUniform(start: number, end: number, isPrivate: boolean): boolean {
    let covered = 0
    this.#states.forRange(start, end, (state, from, to) => {
      if (state === PRIVATE) covered += to - from
    })
    return covered === (isPrivate ? end - start : 0)
  }

  #set(start: number, end: number, state: number): void {
    this.#states.store(start, end, state)
    mirrorRange(
      this.#tables,
      this.#row,
      'declared',
      start,
      end,
      state === PRIVATE,
      this.#states,
      (value) => value === PRIVATE,
    )
  }
}
