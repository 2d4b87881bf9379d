// A Gunyah virtual machine as the Linux driver keeps it (struct gunyah_vm, vm_mgr.c, v17).
//
// It lives until the last of its VM and vCPU descriptors is gone. Starting it is start.ts.

import type { Pfn } from '../base/units.ts'
import { XArray } from '../base/xarray.ts'
import { MAX_VCPUS } from '../engine/vcpu-block.ts'
import { flushRemoteTlbs } from '../hart/requests.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Mutex, RwLock } from '../host/locks.ts'
import { HypervisorNumber, mirrorRange, VmFloat, VmWord } from '../host/tables.ts'
import type { Binding } from './binding.ts'
import { ExtentLabel, ModifyOperation } from './hyp/memextent.ts'
import { type Provided, reclaimGfn } from './paging.ts'
import type { VmResources } from './rm/client.ts'
import { VmState } from './rm/message-ids.ts'
import { SharedParcels } from './shared-parcels.ts'
import type { GunyahSystem } from './system.ts'
import type { DtbConfig } from './uapi.ts'
import type { GunyahVcpu } from './vcpu.ts'

/** The device tree's pages on their way to RM. */
export interface DeviceTreeParcel {
  readonly handle: number
  readonly gfn: number
  /** Each with a reference. */
  readonly frames: readonly Pfn[]
}

/** Why the VM ended, as RM told. */
export interface ExitInfo {
  readonly type: number
  readonly reason: number
}

export class GunyahVm {
  readonly system: GunyahSystem
  readonly host: Host
  /** Row in the shared VM table, or -1. */
  readonly row: number
  /** Guards `status`. */
  readonly statusLock: RwLock
  /** Guards `bindings`. */
  readonly bindingsLock: RwLock
  /** Guards `provided`. */
  readonly providedLock: Mutex
  /** gfn -> binding. */
  readonly bindings = new XArray<Binding>()
  /** gfn -> what the guest was given there; each holds a reference to the folio. */
  readonly provided = new XArray<Provided>()
  /** Memory that the guest shares by parcel. */
  readonly parcels: SharedParcels
  /** gfns whose memory is, or will be, the guest's alone: for the shared tables. */
  readonly #private = new XArray<true>()
  readonly #list: Binding[] = []
  #bindingNumber = 0
  /** By id. */
  readonly vcpus = new Map<number, GunyahVcpu>()
  /** VmState. */
  status: VmState = VmState.NO_STATE
  exit: ExitInfo = { type: 0, reason: 0 }
  vmid = 0
  dtb: DtbConfig = { gpa: 0, size: 0 }
  /** The parcel that the device tree was lent by, until the VM runs. */
  deviceTree: DeviceTreeParcel | null = null
  /** gfns whose faults are for demand paging. */
  readonly demandPaged = new XArray<true>()
  /** Registers at boot: BootRegister set and index -> low and high word. */
  readonly bootContext = new Map<number, readonly [low: number, high: number]>()
  /** The hypervisor's objects, from the moment RM has made them. */
  resources: VmResources | null = null
  #references = 1

  constructor(system: GunyahSystem, processId: number) {
    this.system = system
    this.host = system.host
    this.row = this.host.memory.tables.allocVm(HypervisorNumber.gunyah, 0)
    this.host.memory.tables.setVmWord(this.row, VmWord.PROCESS, processId)
    this.statusLock = new RwLock(this.host, 'ghvm->status_lock')
    this.bindingsLock = new RwLock(this.host, 'ghvm->bindings_lock')
    this.providedLock = new Mutex(this.host, 'ghvm->mm folio_lock')
    this.parcels = new SharedParcels(this)
  }

  get allBindings(): readonly Binding[] {
    return this.#list
  }

  nextBinding(): number {
    return this.#bindingNumber++
  }

  addBinding(binding: Binding): void {
    this.bindings.store(binding.baseGfn, binding.endGfn, binding)
    this.#list.push(binding)
    this.#list.sort((a, b) => a.baseGfn - b.baseGfn)
    this.#mirrorBindings()
    if (binding.lend) this.setPrivate(binding.baseGfn, binding.endGfn, true)
    this.host.trace(
      'gunyah_gmem_bind',
      binding.file,
      binding.id,
      binding.fileIndex,
      binding.pages,
      binding.baseGfn,
    )
  }

  /** Takes gfns [start, end), which are at one end of a binding or all of it, out of it. */
  trimBinding(binding: Binding, start: number, end: number): void {
    this.bindings.store(start, end, undefined)
    this.setPrivate(start, end, false)
    this.host.trace('gunyah_gmem_unbind', binding.file, binding.id, binding.fileIndexOf(start), end - start)
    const pages = end - start
    if (start === binding.baseGfn) {
      binding.baseGfn += pages
      binding.fileIndex += pages
    }
    binding.pages -= pages
    if (binding.pages === 0) this.#list.splice(this.#list.indexOf(binding), 1)
    this.#mirrorBindings()
  }

  /** The guest has nothing at a gfn any more. */
  take(gfn: number): void {
    this.provided.store(gfn, gfn + 1, undefined)
  }

  /** The gfns of [start, end) at which the guest was given something. */
  providedGfns(start: number, end: number): number[] {
    const gfns: number[] = []
    this.provided.forRange(start, end, (_entry, from, to) => {
      for (let gfn = from; gfn < to; gfn++) gfns.push(gfn)
    })
    return gfns
  }

  /** True when the host has no part in a gfn. */
  isPrivate(gfn: number): boolean {
    return this.#private.get(gfn) === true
  }

  setPrivate(start: number, end: number, isPrivate: boolean): void {
    this.#private.store(start, end, isPrivate ? true : undefined)
    const { tables } = this.host.memory
    for (const table of ['attributes', 'declared'] as const)
      mirrorRange(tables, this.row, table, start, end, isPrivate, this.#private, Boolean)
    this.host.memory.bumpGeneration()
  }

  /** RM was told that faults in [start, end) are for demand paging: a lend binding was there when the VM started. */
  isDemandPaged(gfn: number): boolean {
    return this.demandPaged.get(gfn) === true
  }

  /** Every gfn of [start, end) is the guest's alone, or none is. */
  isUniform(start: number, end: number, isPrivate: boolean): boolean {
    let pages = 0
    this.#private.forRange(start, end, (_value, from, to) => {
      pages += to - from
    })
    return pages === (isPrivate ? end - start : 0)
  }

  /** Gives a vCPU its resource, where RM has made one of its label. */
  claimVcpu(vcpu: GunyahVcpu): void {
    if (this.resources && vcpu.id < MAX_VCPUS) vcpu.populate(this.resources.space.stage2.root)
  }

  /** What RM is told to flush the VM's vCPUs by. */
  *flush(): KernelTask<void> {
    this.count(VmFloat.REMOTE_FLUSHES)
    const harts = [...this.vcpus.values()].flatMap(({ hart }) => (hart ? [hart.words] : []))
    yield* flushRemoteTlbs(harts)
  }

  /** Waits until no vCPU has a translation from before, and pages given back without waiting are the host's. */
  *sync(): KernelTask<void> {
    const extent = this.resources?.extents[ExtentLabel.guestPrivate]
    if (extent) yield* this.system.hypervisor.memextentModify(extent, ModifyOperation.SYNC_ALL)
    this.mirrorStage2()
  }

  count(counter: number, by = 1): void {
    this.host.memory.tables.addVmFloat(this.row, counter, by)
  }

  mirrorStage2(): void {
    const mapped = this.resources?.space.stage2.mapped ?? 0
    this.host.memory.tables.setVmFloat(this.row, VmFloat.STAGE2_PAGES, mapped)
    this.host.memory.bumpGeneration()
  }

  #mirrorBindings(): void {
    this.host.memory.tables.writeSlots(this.row, this.#list, true)
    this.host.memory.bumpGeneration()
  }

  /** The VM ended itself: RM hears of it, and tells the driver. */
  exited(type: number, reason: number): void {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, reason, true)
    this.system.manager.vmExited(this.vmid, type, bytes)
  }

  /** RM told that the VM runs no more: its vCPUs leave the guest and say so. */
  ended(exit: ExitInfo): void {
    if (this.status !== VmState.RUNNING) return
    this.status = VmState.EXITED
    this.exit = exit
    for (const vcpu of this.vcpus.values()) vcpu.hart?.signal()
  }

  get(): this {
    this.#references++
    return this
  }

  /** gunyah_vm_put: the last one stops the VM and takes everything back (_gunyah_vm_put). */
  *put(): KernelTask<void> {
    if (--this.#references > 0) return
    const { rm } = this.system
    if (this.status === VmState.RUNNING) yield* rm.vmStop(this.vmid)
    if (RESETTABLE.has(this.status)) yield* rm.vmReset(this.vmid)
    yield* this.#reclaimDeviceTree()
    yield* this.parcels.reclaimAll()
    yield* this.bindingsLock.writeLock()
    for (const binding of [...this.#list]) yield* this.#removeBinding(binding)
    this.bindingsLock.writeUnlock()
    if (this.vmid !== 0) yield* rm.deallocVmid(this.vmid)
    for (const vcpu of this.vcpus.values()) vcpu.put()
    this.host.memory.tables.freeVm(this.row)
    this.host.memory.bumpGeneration()
    this.system.vms.delete(this)
  }

  /** gunyah_gmem_remove_binding. A page that its guest keeps is lost for good: what is in it nobody knows. */
  *#removeBinding(binding: Binding): KernelTask<void> {
    const { baseGfn, endGfn, gmem } = binding
    const index = binding.fileIndex
    yield* gmem.inode.invalidateLock.writeLock()
    for (const gfn of this.providedGfns(baseGfn, endGfn)) {
      try {
        yield* reclaimGfn(this, gfn)
      } catch {
        this.#lose(binding, gfn)
      }
    }
    gmem.bindings.store(index, index + binding.pages, undefined)
    gmem.inode.invalidateLock.writeUnlock()
    this.trimBinding(binding, baseGfn, endGfn)
    yield* gmem.put()
  }

  #lose(binding: Binding, gfn: number): void {
    const entry = this.provided.get(gfn)
    if (!entry) return
    this.take(gfn)
    binding.gmem.inode.forget(binding.fileIndexOf(gfn))
    this.system.hypervisor.abandon(entry.pfn)
  }

  /** The VM has not come to run: its device tree is a parcel still. */
  *#reclaimDeviceTree(): KernelTask<void> {
    if (!this.deviceTree) return
    const { handle, frames } = this.deviceTree
    this.deviceTree = null
    yield* this.system.rm.memReclaim(handle)
    for (const pfn of frames) this.host.buddy.put(pfn)
  }
}

/** States that VM_RESET ends (_gunyah_vm_put), those before the VM was initialised too. */
const RESETTABLE: ReadonlySet<VmState> = new Set([
  VmState.LOAD,
  VmState.READY,
  VmState.INIT_FAILED,
  VmState.EXITED,
])
