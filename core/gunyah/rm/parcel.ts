// Memory parcels: memory that its owner has offered to other VMs, and what each of them has made of it.

import { PAGE_SIZE, type Pfn } from '../../base/units.ts'
import type { FrameRange } from '../hyp/hypervisor.ts'
import { DonateOption, ExtentLabel } from '../hyp/memextent.ts'
import type { AclEntry, SglEntry } from './memory-messages.ts'

export const ParcelKind = { lend: 0, share: 1, donate: 2 } as const
export type ParcelKind = (typeof ParcelKind)[keyof typeof ParcelKind]

/** INIT: memory may be appended. SHARING: borrowers accept. SHARED: all of them have. */
export const ParcelState = { INIT: 0, SHARING: 1, SHARED: 2 } as const

/** The hypervisor's side of a kind: how frames leave and come back, and the extents they move between. */
export const transfers: Readonly<
  Record<ParcelKind, { give: number; giveBack: number; host: ExtentLabel; guest: ExtentLabel }>
> = {
  [ParcelKind.lend]: {
    give: DonateOption.TO_PROTECTED,
    giveBack: DonateOption.FROM_PROTECTED,
    host: ExtentLabel.hostPrivate,
    guest: ExtentLabel.guestPrivate,
  },
  [ParcelKind.share]: {
    give: DonateOption.TO_SIBLING,
    giveBack: DonateOption.TO_SIBLING,
    host: ExtentLabel.hostShared,
    guest: ExtentLabel.guestShared,
  },
  [ParcelKind.donate]: {
    give: DonateOption.TO_CHILD,
    giveBack: DonateOption.TO_PARENT,
    host: ExtentLabel.hostPrivate,
    guest: ExtentLabel.guestPrivate,
  },
}

/** A VM that may accept a parcel. */
export interface Borrower {
  readonly vmid: number
  readonly rights: number
  /** Where it has the parcel in its address space; null: not accepted, or released. */
  accepted: readonly SglEntry[] | null
  /** It has said that it accepts no more (DONE). */
  done: boolean
  /** It asked at its acceptance that the memory be zeroed afterwards. */
  sanitise: boolean
}

export class Parcel {
  readonly handle: number
  readonly kind: ParcelKind
  readonly owner: number
  readonly label: number
  readonly acl: readonly AclEntry[]
  readonly borrowers: readonly Borrower[]
  /** The owner's memory; host physical for the primary VM. */
  readonly sgl: SglEntry[] = []
  /** Zeroed before borrowers saw it. */
  readonly sanitised: boolean
  /** More may be appended. */
  open: boolean
  /** Somebody asked that it be zeroed before the owner sees it again. */
  sanitiseAfter = false
  /** The VM whose image it is: the parcel is locked, its borrower cannot release it. */
  imageOf: number | null = null

  constructor(
    handle: number,
    kind: ParcelKind,
    owner: number,
    offer: {
      readonly label: number
      readonly acl: readonly AclEntry[]
      readonly sanitised: boolean
      readonly open: boolean
    },
  ) {
    this.handle = handle
    this.kind = kind
    this.owner = owner
    this.label = offer.label
    this.acl = offer.acl
    this.sanitised = offer.sanitised
    this.open = offer.open
    this.borrowers = offer.acl
      .filter(({ vmid }) => vmid !== owner)
      .map(({ vmid, rights }) => ({ vmid, rights, accepted: null, done: false, sanitise: false }))
  }

  get state(): number {
    if (this.open) return ParcelState.INIT
    return this.borrowers.every(({ done }) => done) ? ParcelState.SHARED : ParcelState.SHARING
  }

  /** Bytes. */
  get size(): number {
    return this.sgl.reduce((sum, { size }) => sum + size, 0)
  }

  get inUse(): boolean {
    return this.borrowers.some(({ accepted }) => accepted !== null)
  }

  borrower(vmid: number): Borrower | null {
    return this.borrowers.find((one) => one.vmid === vmid) ?? null
  }

  get ranges(): FrameRange[] {
    return framesOf(this.sgl)
  }
}

/** The frames of memory of the primary VM's. */
export const framesOf = (sgl: readonly SglEntry[]): FrameRange[] =>
  sgl.map(({ ipa, size }) => ({ pfn: (ipa / PAGE_SIZE) as Pfn, pages: size / PAGE_SIZE }))

/** Whole pages, below 2^53, none twice. */
export const isGoodSgl = (sgl: readonly SglEntry[]): boolean => {
  const good = ({ ipa, size }: SglEntry): boolean =>
    ipa % PAGE_SIZE === 0 && size % PAGE_SIZE === 0 && size > 0 && Number.isSafeInteger(ipa + size)
  if (!sgl.every(good)) return false
  const sorted = sgl.toSorted((a, b) => a.ipa - b.ipa)
  return sorted.every(({ ipa }, i) => i === 0 || sorted[i - 1].ipa + sorted[i - 1].size <= ipa)
}

/** Pages of a borrower's that show pages of the owner's. */
export interface Piece {
  readonly gpa: number
  readonly pfn: Pfn
  readonly pages: number
}

/** Lays two lists of the same size beside each other. */
export const pieces = (guest: readonly SglEntry[], owner: readonly SglEntry[]): Piece[] => {
  const found: Piece[] = []
  let at = 0
  let from = 0
  for (const { ipa, size } of guest)
    for (let done = 0; done < size; ) {
      const bytes = Math.min(size - done, owner[at].size - from)
      found.push({
        gpa: ipa + done,
        pfn: ((owner[at].ipa + from) / PAGE_SIZE) as Pfn,
        pages: bytes / PAGE_SIZE,
      })
      done += bytes
      from += bytes
      if (from === owner[at].size) {
        at++
        from = 0
      }
    }
  return found
}
