// Memory extents: the ranges of frames that a guest VM and the host trade with each other.
//
// Every guest VM has four, told apart by their labels. All are sparse: frames enter and leave them one by one. What an
// extent of the host's side holds is not listed: it is every frame that is the host's own.

import type { Pfn } from '../../base/units.ts'

/** Labels of a VM's extents, as the Resource Manager hands them out. */
export const ExtentLabel = { guestPrivate: 0, hostShared: 1, hostPrivate: 2, guestShared: 3 } as const
export type ExtentLabel = (typeof ExtentLabel)[keyof typeof ExtentLabel]

/** How frames change their extent (enum gunyah_memextent_donate_type); bit 31 defers the flush. */
export const DonateOption = {
  /** Ownership moves to the guest. */
  TO_CHILD: 0,
  /** The guest's own frames go back to the host. */
  TO_PARENT: 1,
  /** Host shared to guest shared and back: both may map the frames. */
  TO_SIBLING: 2,
  /** Host private to guest private: lent. */
  TO_PROTECTED: 3,
  /** Lent frames come back, zeroed. */
  FROM_PROTECTED: 4,
} as const
export const DONATE_NOSYNC = 0x8000_0000

/** memextent_modify operations that something here uses. */
export const ModifyOperation = { ZERO_RANGE: 1, SYNC_ALL: 255 } as const
export type ModifyOperation = (typeof ModifyOperation)[keyof typeof ModifyOperation]

/** gfn of a frame that is in an extent but mapped nowhere. */
export const UNMAPPED = -1

/** A frame in a guest's extent. */
export interface ExtentFrame {
  /** Where the guest has it mapped, or UNMAPPED. */
  gfn: number
  /** Access bits of the mapping. */
  access: number
  /** The guest owns it for good (TO_CHILD). */
  readonly donated: boolean
  /** Given back, but the guest's vCPUs have not acknowledged the flush yet: neither side may use it. */
  returning: boolean
}

export class Memextent {
  readonly vmid: number
  readonly label: ExtentLabel
  /** Frames by pfn; always empty on the host's side. */
  readonly frames = new Map<Pfn, ExtentFrame>()

  constructor(vmid: number, label: ExtentLabel) {
    this.vmid = vmid
    this.label = label
  }

  /** The frame at hand: it is in the extent and not on its way back. */
  frame(pfn: Pfn): ExtentFrame | null {
    const frame = this.frames.get(pfn)
    return frame && !frame.returning ? frame : null
  }

  get isPrivate(): boolean {
    return this.label === ExtentLabel.guestPrivate || this.label === ExtentLabel.hostPrivate
  }
}

/** The four extents of a VM by label. */
export type Extents = readonly [
  guestPrivate: Memextent,
  hostShared: Memextent,
  hostPrivate: Memextent,
  guestShared: Memextent,
]

export const makeExtents = (vmid: number): Extents => [
  new Memextent(vmid, ExtentLabel.guestPrivate),
  new Memextent(vmid, ExtentLabel.hostShared),
  new Memextent(vmid, ExtentLabel.hostPrivate),
  new Memextent(vmid, ExtentLabel.guestShared),
]
