// A guest VM as the hypervisor knows it: its extents, its address space, and frames on their way back to the host.

import type { Pfn } from '../../base/units.ts'
import type { AddressSpace, RemoteFlush } from './address-space.ts'
import { type Extents, type Memextent, makeExtents } from './memextent.ts'

/** A frame that was given back and waits for the flush. */
export interface ReturningFrame {
  readonly extent: Memextent
  readonly pfn: Pfn
}

export class GuestVm {
  readonly vmid: number
  readonly extents: Extents
  /** Null until the Resource Manager has initialised the VM. */
  space: AddressSpace | null = null
  /** Row in the host's VM table, or -1: owner of the stage-2 tables. Set by `attach`. */
  row = -1
  /** Set by `attach`; without vCPUs there is nothing to flush. */
  remoteFlush: RemoteFlush = noVcpus
  /** Given back without a flush; the next flush completes them. */
  readonly returning: ReturningFrame[] = []

  constructor(vmid: number) {
    this.vmid = vmid
    this.extents = makeExtents(vmid)
  }

  /** What runs the VM's vCPUs says how to flush them, and which row shows the VM. Before the VM is initialised. */
  attach(row: number, remoteFlush: RemoteFlush): void {
    this.row = row
    this.remoteFlush = remoteFlush
  }
}

/** A flush of no vCPU waits for nothing. */
function* noVcpus(): Generator<never, void> {}
