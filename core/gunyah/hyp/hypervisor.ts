// The Gunyah hypervisor: the calls on memory that the Resource Manager and the host's driver make.
//
// Linux is the primary VM, with its own stage 2 (host-frames.ts). A guest's memory is what it has in its extents
// (memextent.ts) and its address space maps (address-space.ts). Capabilities are not modelled: whoever has the object
// may call; a capability is only how the Resource Manager names one in a message.

import { type Gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { Stage2 } from '../../hart/stage2.ts'
import type { Host } from '../../host/host.ts'
import type { KernelTask, Step } from '../../host/kernel-task.ts'
import { AddressSpace } from './address-space.ts'
import { checkDonate, commitDonate, completeReturns } from './donate.ts'
import { HypError } from './error.ts'
import { GuestVm } from './guest-vm.ts'
import { HostFrames } from './host-frames.ts'
import { MapFlag, type MappingRequest, mapFrames, unmapFrames } from './mapping.ts'
import { DONATE_NOSYNC, type Memextent, ModifyOperation } from './memextent.ts'
import { checkFrames, checkGuestRange } from './ranges.ts'

/** The primary VM: Linux. */
export const HLOS_VMID = 3

export interface HypervisorOptions {
  /** Whether the host gets a private page of a running guest that the guest has not released. */
  readonly reclaim: 'refuse' | 'grant'
  /** For tests: these private pages cannot be unmapped. */
  readonly refuses?: (vmid: number, gfn: number) => boolean
}

export interface FrameRange {
  readonly pfn: Pfn
  readonly pages: number
}

/** What a guest address shows. */
export interface Lookup {
  readonly error: HypError
  readonly extent: Memextent | null
  readonly pfn: Pfn
  /** Bits of Access. */
  readonly access: number
}

/** Capability of a VM's object: its address space is number 0, its extents follow by label. */
export const capability = (vmid: number, object: number): number => vmid * CAPABILITIES + object
const CAPABILITIES = 8

const DONATE: Step = { at: 'gunyah_hyp/donate' }
const DONATE_SYNC: Step = { at: 'gunyah_hyp/donate_sync' }
const MAP: Step = { at: 'gunyah_hyp/addrspace_map' }
const UNMAP: Step = { at: 'gunyah_hyp/addrspace_unmap' }
const MODIFY: Step = { at: 'gunyah_hyp/memextent_modify' }

export class Hypervisor {
  readonly host: Host
  readonly #options: HypervisorOptions
  readonly #frames: HostFrames
  readonly #vms = new Map<number, GuestVm>()

  /** Throws ENOMEM. */
  constructor(host: Host, options: HypervisorOptions) {
    this.host = host
    this.#options = options
    this.#frames = new HostFrames(host)
  }

  /** The primary VM's stage 2. */
  get hostStage2(): Stage2 {
    return this.#frames.stage2
  }

  vm(vmid: number): GuestVm | null {
    return this.#vms.get(vmid) ?? null
  }

  /** The extent that a capability names, or null. */
  extentOf(capability: number): Memextent | null {
    const extents = this.#vms.get(Math.floor(capability / CAPABILITIES))?.extents
    return extents?.[(capability % CAPABILITIES) - 1] ?? null
  }

  /** A VM with empty extents and no address space. */
  createVm(vmid: number): GuestVm {
    const vm = new GuestVm(vmid)
    this.#vms.set(vmid, vm)
    return vm
  }

  /** Gives a VM its address space. NOMEM: none for the root table. */
  createAddressSpace(vm: GuestVm): HypError {
    try {
      const stage2 = new Stage2(this.host, vm.row)
      vm.space = new AddressSpace(this.host, vm.vmid, stage2, vm.remoteFlush)
    } catch {
      return HypError.NOMEM
    }
    return HypError.OK
  }

  /**
   * The VM is gone; no vCPU of it may run any more. What is still in its private extent stays out of the host's reach
   * for ever; what it shared is the host's alone.
   */
  *destroyVm(vm: GuestVm): KernelTask<void> {
    yield* this.#locked(vm, () => HypError.OK, true)
    vm.space?.stage2.destroy()
    vm.space = null
    for (const extent of vm.extents) if (!extent.isPrivate) this.#dropShares(extent)
    this.#vms.delete(vm.vmid)
  }

  #dropShares(extent: Memextent): void {
    for (const pfn of extent.frames.keys()) this.#frames.countSharer(pfn, -1)
    extent.frames.clear()
  }

  /** Whether a donation of these ranges, which do not overlap, would be granted now. `option`: without NOSYNC. */
  checkDonate(option: number, from: Memextent, to: Memextent, ranges: readonly FrameRange[]): HypError {
    if (!this.#owns(from) || !this.#owns(to)) return HypError.ARGUMENT_INVALID
    for (const { pfn, pages } of ranges) {
      const range = checkFrames(pfn, pages, this.host.memory.layout.frames)
      if (range !== HypError.OK) return range
      const error = checkDonate(this.#frames, option, from, to, pfn, pages)
      if (error !== HypError.OK) return error
    }
    return HypError.OK
  }

  /**
   * memextent_donate of frames [pfn, pfn + pages). `option`: a DonateOption, with DONATE_NOSYNC to leave the flush to
   * the next call that does it: frames on the way back reach the host only then.
   */
  *memextentDonate(
    option: number,
    from: Memextent,
    to: Memextent,
    pfn: Pfn,
    pages: number,
  ): KernelTask<HypError> {
    return yield* this.donateRanges(option, from, to, [{ pfn, pages }])
  }

  /** The same for ranges that do not overlap: all of them are donated, or none. */
  *donateRanges(
    option: number,
    from: Memextent,
    to: Memextent,
    ranges: readonly FrameRange[],
  ): KernelTask<HypError> {
    if (this.host.scheduler.stepping) yield DONATE
    const vm = this.#vms.get(from.vmid)
    if (!vm) return HypError.ARGUMENT_INVALID
    // `|` with bit 31 makes a negative number.
    const bits = option >>> 0
    const kind = bits % DONATE_NOSYNC
    const call = (): HypError => {
      const error = this.checkDonate(kind, from, to, ranges)
      if (error !== HypError.OK) return error
      for (const { pfn, pages } of ranges) {
        commitDonate(this.#frames, vm, kind, from, to, pfn, pages)
        this.host.trace('gunyah_memextent_donate', bits, pfn, pages, from.label, to.label)
      }
      return HypError.OK
    }
    return yield* this.#locked(vm, call, bits < DONATE_NOSYNC)
  }

  /** addrspace_map. `access`: of Access, R at least; `flags`: of MapFlag, PARTIAL at least. */
  *addrspaceMap(
    space: AddressSpace,
    extent: Memextent,
    gpa: Gpa,
    access: number,
    flags: number,
    pfn: Pfn,
    pages: number,
  ): KernelTask<HypError> {
    if (this.host.scheduler.stepping) yield MAP
    return yield* this.#onSpace({ space, extent, gpa, flags, pfn, pages }, (request) => {
      const error = mapFrames(request, access)
      if (error !== HypError.OK) return error
      for (let i = 0; i < pages; i++)
        this.host.trace('gunyah_addrspace_map', space.vmid, gpa / PAGE_SIZE + i, pfn + i, access, flags >>> 0)
      return error
    })
  }

  /** addrspace_unmap of what addrspace_map mapped. DENIED: the running guest keeps a page. */
  *addrspaceUnmap(
    space: AddressSpace,
    extent: Memextent,
    gpa: Gpa,
    flags: number,
    pfn: Pfn,
    pages: number,
  ): KernelTask<HypError> {
    if (this.host.scheduler.stepping) yield UNMAP
    return yield* this.#onSpace({ space, extent, gpa, flags, pfn, pages }, (request) => {
      const error = unmapFrames(request, (vmid, gfn) => this.#keeps(space, vmid, gfn))
      if (error !== HypError.OK) return error
      for (let i = 0; i < pages; i++)
        this.host.trace('gunyah_addrspace_unmap', space.vmid, gpa / PAGE_SIZE + i, pfn + i)
      return error
    })
  }

  #keeps(space: AddressSpace, vmid: number, gfn: number): boolean {
    if (space.released.has(gfn)) return false
    return this.#options.refuses?.(vmid, gfn) || (this.#options.reclaim === 'refuse' && space.running)
  }

  *#onSpace(request: MappingRequest, call: (request: MappingRequest) => HypError): KernelTask<HypError> {
    const { space, gpa, pfn, pages, flags } = request
    const vm = this.#vms.get(space.vmid)
    if (vm?.space !== space) return HypError.ARGUMENT_INVALID
    const frames = checkFrames(pfn, pages, this.host.memory.layout.frames)
    if (frames !== HypError.OK) return frames
    const guest = checkGuestRange(gpa, pages)
    if (guest !== HypError.OK) return guest
    return yield* this.#locked(vm, () => call(request), (flags & MapFlag.NOSYNC) === 0)
  }

  /** addrspace_lookup: what the guest has at an address. */
  addrspaceLookup(space: AddressSpace, gpa: Gpa): Lookup {
    const leaf = checkGuestRange(gpa, 1) === HypError.OK ? space.stage2.leaf(gpa / PAGE_SIZE) : null
    if (leaf)
      for (const extent of this.#vms.get(space.vmid)?.extents ?? []) {
        const frame = extent.frame(leaf.pfn)
        if (frame?.gfn === gpa / PAGE_SIZE)
          return { error: HypError.OK, extent, pfn: leaf.pfn, access: frame.access }
      }
    return { error: HypError.ADDR_INVALID, extent: null, pfn: 0 as Pfn, access: 0 }
  }

  /**
   * memextent_modify. SYNC_ALL waits for the vCPUs and completes what was given back; ZERO_RANGE zeroes frames
   * [pfn, pfn + pages) of the extent.
   */
  *memextentModify(
    extent: Memextent,
    operation: ModifyOperation,
    pfn: Pfn = 0 as Pfn,
    pages = 0,
  ): KernelTask<HypError> {
    if (this.host.scheduler.stepping) yield MODIFY
    const vm = this.#vms.get(extent.vmid)
    if (!vm || !this.#owns(extent)) return HypError.ARGUMENT_INVALID
    return yield* this.#locked(vm, () => this.#modify(extent, operation, pfn, pages), true)
  }

  #modify(extent: Memextent, operation: ModifyOperation, pfn: Pfn, pages: number): HypError {
    if (operation === ModifyOperation.SYNC_ALL) return HypError.OK
    if (operation !== ModifyOperation.ZERO_RANGE) return HypError.ARGUMENT_INVALID
    const error = checkFrames(pfn, pages, this.host.memory.layout.frames)
    if (error !== HypError.OK) return error
    for (let i = 0; i < pages; i++) if (!extent.frame((pfn + i) as Pfn)) return HypError.MEMDB_NOT_OWNER
    for (let i = 0; i < pages; i++) this.#frames.sanitise((pfn + i) as Pfn)
    return HypError.OK
  }

  #owns(extent: Memextent): boolean {
    return this.#vms.get(extent.vmid)?.extents[extent.label] === extent
  }

  /** Runs a call under the VM's lock; when it was granted, `sync` waits for the flush and completes returns. */
  *#locked(vm: GuestVm, call: () => HypError, sync: boolean): KernelTask<HypError> {
    const { space } = vm
    if (space) yield* space.lock.lock()
    try {
      const error = call()
      if (error === HypError.OK && sync && (vm.returning.length > 0 || space?.needsFlush)) {
        if (this.host.scheduler.stepping) yield DONATE_SYNC
        yield* completeReturns(this.#frames, vm)
      }
      return error
    } finally {
      space?.lock.unlock()
    }
  }

  /** Whether a load or store of the host's reaches a frame: the walk of its stage 2. */
  hostAccess(pfn: Pfn, write: boolean): boolean {
    return this.#frames.reaches(pfn, write)
  }

  /** The guest extent that has a frame for itself, or null: it is the host's. */
  privateTo(pfn: Pfn): Memextent | null {
    return this.#frames.privateTo(pfn)
  }

  /** The frame will not come back: it is lost, and keeps the reference that keeps it from the allocator. */
  abandon(pfn: Pfn): void {
    this.#frames.abandon(pfn, this.#frames.privateTo(pfn)?.vmid ?? HLOS_VMID)
  }
}
