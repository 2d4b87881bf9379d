// The VM's attribute rows where pages are converted in place: a projection of the page states of the files it shows.
//
// The states live in the files' inodes; readers of the shared tables see gfns. The rows follow whenever a slot
// appears or goes, its file goes, or pages are converted.

import type { PageState } from '../gmem/attributes.ts'
import type { Memslot } from './memslot.ts'
import type { Vm } from './vm.ts'

/** Calls `visit` with the states of a slot's file pages [start, end), as gfns; nothing where the VM tracks them. */
export const forEachState = (
  slot: Memslot,
  start: number,
  end: number,
  visit: (state: PageState, start: number, end: number) => void,
): void =>
  slot.gmem?.inode.states?.forRange(start, end, (state, from, to) =>
    visit(state, slot.gfnOf(from), slot.gfnOf(to)),
  )

/** Shows the states of a slot's file pages [start, end) as they are now. */
export const showStates = (vm: Vm, slot: Memslot, start: number, end: number): void => {
  const { tables } = vm.host.memory
  let fits = true
  forEachState(slot, start, end, (state, from, to) => {
    fits &&= tables.setRange(vm.row, 'attributes', from, to, state === 'private')
  })
  if (!fits) showAll(vm)
}

/** The slot is gone, or its file: where its pages were no gfn is private. */
export const hideStates = (vm: Vm, slot: Memslot): void => {
  if (!vm.profile.inPlaceConversion) return
  if (!vm.host.memory.tables.setRange(vm.row, 'attributes', slot.baseGfn, slot.endGfn, false)) showAll(vm)
}

/** Every private gfn, as sorted and merged ranges. */
export const privateGfns = (vm: Vm): { start: number; end: number }[] => {
  const ranges: { start: number; end: number }[] = []
  for (const slot of vm.slots.sorted)
    forEachState(slot, slot.fileIndex, slot.fileIndex + slot.pages, (state, start, end) => {
      if (state !== 'private') return
      const last = ranges.at(-1)
      if (last?.end === start) last.end = end
      else ranges.push({ start, end })
    })
  return ranges
}

const showAll = (vm: Vm): void => vm.host.memory.tables.writeRanges(vm.row, 'attributes', privateGfns(vm))
