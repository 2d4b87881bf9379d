// What the Resource Manager knows: its VMs, and the parcels there are, with their mirror for readers.

import { PAGE_SIZE } from '../../base/units.ts'
import type { ParcelRow } from '../../host/parcel-table.ts'
import type { GuestVm } from '../hyp/guest-vm.ts'
import type { Hypervisor } from '../hyp/hypervisor.ts'
import type { SglEntry } from './memory-messages.ts'
import { VmState } from './message-ids.ts'
import type { Parcel } from './parcel.ts'

/** Parcels at a time. */
export const MAX_PARCELS = 256

/** A VM under management. */
export interface ManagedVm {
  readonly vmid: number
  readonly guest: GuestVm
  state: VmState
  /** Guest addresses that the host pages in on demand. */
  pagedRanges: readonly SglEntry[]
  /** Where the image goes in guest addresses. */
  imageRange: SglEntry | null
}

/** Takes a notification for a VM: its message id and payload. */
export type Subscriber = (notification: number, payload: Uint8Array) => void

export class Registry {
  readonly hypervisor: Hypervisor
  readonly vms = new Map<number, ManagedVm>()
  readonly parcels = new Map<number, Parcel>()
  readonly subscribers = new Map<number, Subscriber>()
  #handles = 0

  constructor(hypervisor: Hypervisor) {
    this.hypervisor = hypervisor
  }

  addVm(vmid: number): void {
    const guest = this.hypervisor.createVm(vmid)
    this.vms.set(vmid, { vmid, guest, state: VmState.NO_STATE, pagedRanges: [], imageRange: null })
  }

  /** The VM, if it may be offered memory. */
  recipient(vmid: number): ManagedVm | null {
    const vm = this.vms.get(vmid)
    const gone = vm?.state === VmState.EXITED || vm?.state === VmState.RESET
    return vm && !gone ? vm : null
  }

  nextHandle(): number {
    this.#handles = (this.#handles % 0xffff_fffe) + 1
    return this.parcels.has(this.#handles) ? this.nextHandle() : this.#handles
  }

  notify(vmid: number, notification: number, payload: Uint8Array): void {
    this.subscribers.get(vmid)?.(notification, payload)
  }

  /** Shows readers the parcels as they are now. */
  mirror(): void {
    const rows: ParcelRow[] = []
    for (const parcel of this.parcels.values())
      for (const { vmid, rights, accepted } of parcel.borrowers)
        rows.push({
          handle: parcel.handle,
          owner: parcel.owner,
          borrower: vmid,
          kind: parcel.kind,
          rights,
          state: parcel.state,
          accepted: accepted !== null,
          ipa: accepted?.[0]?.ipa ?? parcel.sgl[0]?.ipa ?? 0,
          pages: parcel.size / PAGE_SIZE,
        })
    const { memory } = this.hypervisor.host
    memory.parcels.write(rows)
    memory.bumpGeneration()
  }
}
