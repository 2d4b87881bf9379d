// The state of one page as one word: what the maps draw, the table twins say and the legend explains.

/** Bits of a cell of a folio map (a page of a guest_memfd, of host memory, or a host frame). */
export const Cell = {
  /** A folio is there. */
  allocated: 1 << 0,
  /** Its contents have been initialised (PG_uptodate). */
  uptodate: 1 << 1,
  /** A stage-2 leaf maps it: the guest reaches it without an exit. */
  stage2: 1 << 2,
  /** A host page-table entry maps it. */
  hostMapped: 1 << 3,
  /** The cell's storage is the private half (a guest_memfd). */
  private: 1 << 4,
  locked: 1 << 5,
  /** A frame the host keeps for itself: page tables, these very tables. */
  kernel: 1 << 6,
  /** The guest page's attribute picks the other half: this storage is not what the guest uses. */
  aside: 1 << 7,
  /** The frame is poisoned: nobody may touch it again. */
  poisoned: 1 << 8,
  /** More references than the page cache and the mappings account for: a pin, or an LRU batch. */
  held: 1 << 9,
  /** Anonymous memory of a process other than the VMM. */
  foreign: 1 << 10,
  /** Part of a 2 MiB folio. */
  large: 1 << 11,
  /** The host's stage 2 does not reach it: it is lent to a guest. */
  lent: 1 << 12,
  /** Shared with the guest by a memory parcel. */
  parcel: 1 << 13,
  /** Lent to a guest that did not give it back: never used again. */
  lost: 1 << 14,
} as const

/** Bits of a guest page (a gfn inside a memslot). */
export const GuestPage = {
  /** KVM_MEMORY_ATTRIBUTE_PRIVATE. */
  private: 1 << 0,
  /** The guest declares it private. */
  declared: 1 << 1,
  /** A stage-2 leaf maps it. */
  stage2: 1 << 2,
  /** The half that the attribute picks holds a folio. */
  backed: 1 << 3,
} as const

/** True when the guest's declaration and the attribute disagree: its next touch is a memory fault. */
export const isMismatch = (page: number): boolean =>
  ((page & GuestPage.private) !== 0) !== ((page & GuestPage.declared) !== 0)

/** The cell in words, for table twins and hover text. */
export const describeCell = (cell: number): string => {
  if (cell & Cell.lost) return 'lost to a guest'
  if (cell & Cell.kernel) return 'host kernel'
  if (!(cell & Cell.allocated)) {
    if (cell & Cell.poisoned) return 'poisoned'
    return cell & Cell.aside ? 'absent, not in use' : 'absent'
  }
  if (cell & Cell.foreign) return 'another process'
  const words = [cell & Cell.uptodate ? 'up to date' : 'allocated']
  if (cell & Cell.poisoned) words.unshift('poisoned')
  if (cell & Cell.large) words.push('in a 2 MiB folio')
  if (cell & Cell.stage2) words.push('in stage 2')
  if (cell & Cell.lent) words.push('out of the host’s stage 2')
  if (cell & Cell.parcel) words.push('in a parcel')
  if (cell & Cell.hostMapped) words.push('host-mapped')
  if (cell & Cell.locked) words.push('locked')
  if (cell & Cell.held) words.push('extra reference')
  if (cell & Cell.aside) words.push('not in use')
  return words.join(', ')
}

/** The guest page in words. */
export const describeGuestPage = (page: number): string => {
  const words = [page & GuestPage.private ? 'private' : 'shared']
  if (isMismatch(page)) words.push(`guest declares ${page & GuestPage.declared ? 'private' : 'shared'}`)
  words.push(page & GuestPage.stage2 ? 'in stage 2' : page & GuestPage.backed ? 'allocated' : 'not allocated')
  return words.join(', ')
}
