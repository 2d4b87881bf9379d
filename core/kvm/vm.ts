// A KVM virtual machine: what its memory side consists of, and its lifetime.
//
// It lives until the last of VM fd, vCPU fds and guest_memfd files is gone.

import { XArray } from '../base/xarray.ts'
import { Stage2 } from '../hart/stage2.ts'
import type { OpenFile } from '../host/file.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { Mutex } from '../host/locks.ts'
import type { Process } from '../host/process.ts'
import { VmFloat, VmWord } from '../host/tables.ts'
import { DeclaredState } from './declared.ts'
import { KvmGmem } from './gmem.ts'
import { MmuInvalidate } from './invalidate.ts'
import { type Memslot, MemslotSet } from './memslot.ts'
import { KvmMmuNotifier } from './mmu-notifier.ts'
import type { KvmParameters } from './parameters.ts'
import type { HostProfile, VmType } from './profiles.ts'
import { Srcu } from './srcu.ts'

/** Row number of the KVM hypervisor in the VM table. */
const HYPERVISOR_KVM = 1

/** What the part of KVM that runs vCPUs gives the part that manages memory. */
export interface KvmHooks {
  /** Makes a vCPU's file for KVM_CREATE_VCPU; checks of the id are done. May throw KernelError. */
  createVcpu(vm: Vm, id: number): KernelTask<OpenFile>
  /** Completes when every vCPU in guest mode has dropped its translations of the VM. */
  remoteFlush(vm: Vm): KernelTask<void>
  /** Bytes to map on a vCPU fd (KVM_GET_VCPU_MMAP_SIZE). */
  readonly vcpuMmapSize: number
}

/** Options only tests use. */
export interface KvmDebug {
  /** Leave out the check that the invalidate sequence has not moved: the bug it prevents then shows. */
  readonly skipRetryCheck?: boolean
}

/** What KVM on a host is made with. */
export interface KvmConfiguration {
  readonly profile: HostProfile
  readonly parameters: KvmParameters
  readonly hooks: KvmHooks
  readonly debug: KvmDebug
}

export class Vm {
  readonly host: Host
  /** The process that made it; ioctls from another get EIO. */
  readonly process: Process
  readonly profile: HostProfile
  readonly parameters: KvmParameters
  readonly hooks: KvmHooks
  readonly debug: KvmDebug
  readonly type: VmType
  /** Row in the shared VM table, or -1 when the table is full (the VM is then not shown). */
  readonly row: number

  readonly slotsLock: Mutex
  readonly slotsArchLock: Mutex
  readonly mmuLock: Mutex
  readonly srcu = new Srcu()
  readonly #sets: [MemslotSet, MemslotSet] = [new MemslotSet(), new MemslotSet()]
  #active: 0 | 1 = 0
  /** Moves with every change of the slots. */
  generation = 0
  /** MMU-notifier passes under way; the slot sets do not swap meanwhile. */
  activeInvalidations = 0
  /** Options of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 in force. */
  manualDirtyLogProtect = 0
  /** Hypercalls that exit to the VMM, a bit each (KVM_CAP_EXIT_HYPERCALL). */
  hypercallExits = 0
  /** Guest physical address of the VMM's doorbell (KVM_CAP_GMEM_DOORBELL); null: it has none. */
  doorbell: number | null = null
  /** KVM_MP_STATE_INIT_RECEIVED resets a vCPU (KVM_CAP_RISCV_MP_STATE_RESET). */
  mpStateReset = false
  /** Pages in slots that have host memory (nr_memslot_pages). */
  slotPages = 0

  readonly stage2: Stage2
  readonly invalidate: MmuInvalidate
  /** gfn -> KVM_MEMORY_ATTRIBUTE_*; absent is 0. */
  readonly attributes = new XArray<number>()
  /** The guest's declared state, for VM types that have it. */
  readonly declared: DeclaredState | null
  readonly gmemOperations: KvmGmem
  readonly notifier: KvmMmuNotifier
  readonly vcpuIds = new Set<number>()
  /** Called once the VM is gone. */
  onDestroy: (() => void) | null = null
  #references = 1
  readonly #quiescent: Step = {
    at: 'mmu_notifier_unregister/synchronize_srcu',
    until: () => this.activeInvalidations === 0,
  }

  /** Throws ENOMEM. */
  constructor(process: Process, type: VmType, kvm: KvmConfiguration) {
    const { profile, parameters, hooks, debug } = kvm
    const host = process.host
    this.host = host
    this.process = process
    this.profile = profile
    this.parameters = parameters
    this.type = type
    this.hooks = hooks
    this.debug = debug
    this.row = host.memory.tables.allocVm(HYPERVISOR_KVM, type.type)
    host.memory.tables.setVmWord(this.row, VmWord.PROCESS, process.id)
    try {
      this.stage2 = new Stage2(host, this.row)
    } catch (error) {
      host.memory.tables.freeVm(this.row)
      throw error
    }
    this.slotsLock = new Mutex(host, 'kvm->slots_lock')
    this.slotsArchLock = new Mutex(host, 'kvm->slots_arch_lock')
    this.mmuLock = new Mutex(host, 'kvm->mmu_lock')
    this.invalidate = new MmuInvalidate(host.memory.tables, this.row)
    this.declared = type.declaredState ? new DeclaredState(host.memory.tables, this.row) : null
    this.gmemOperations = new KvmGmem(this)
    this.notifier = new KvmMmuNotifier(this)
    process.notifiers.add(this.notifier)
    host.memory.tables.setVmFloat(this.row, VmFloat.STAGE2_ROOT_PFN, this.stage2.root)
    this.mirrorStage2()
  }

  /** The slots that readers see; read them inside an SRCU section. */
  get slots(): MemslotSet {
    return this.#sets[this.#active]
  }

  get inactiveSlots(): MemslotSet {
    return this.#sets[this.#active === 0 ? 1 : 0]
  }

  /** Publishes the inactive set. */
  swapSlots(): void {
    this.#active = this.#active === 0 ? 1 : 0
    this.generation++
    this.mirrorSlots()
  }

  slotOf(gfn: number): Memslot | null {
    return this.slots.find(gfn)
  }

  /** The VM may have private memory (kvm_arch_has_private_mem). */
  get hasPrivateMemory(): boolean {
    return this.type.privateMemory
  }

  /** `all`: a slot changed in place (its file went away). */
  mirrorSlots(all = false): void {
    this.host.memory.tables.writeSlots(this.row, this.slots.sorted, all)
    this.host.memory.bumpGeneration()
  }

  mirrorStage2(): void {
    this.host.memory.tables.setVmFloat(this.row, VmFloat.STAGE2_PAGES, this.stage2.mapped)
    this.host.memory.bumpGeneration()
  }

  count(counter: number, by = 1): void {
    this.host.memory.tables.addVmFloat(this.row, counter, by)
  }

  /** Waits until no vCPU holds a translation made before; then tables unlinked meanwhile are freed. */
  *flushRemoteTlbs(): KernelTask<void> {
    this.count(VmFloat.REMOTE_FLUSHES)
    yield* this.hooks.remoteFlush(this)
    this.stage2.freeUnlinked()
    this.mirrorStage2()
  }

  get(): this {
    this.#references++
    return this
  }

  *put(): KernelTask<void> {
    if (--this.#references > 0) return
    // mmu_notifier_unregister: passes that have begun end first.
    this.process.notifiers.delete(this.notifier)
    yield this.#quiescent
    this.#destroy()
  }

  /** kvm_destroy_vm: nobody can reach it any more, so no locks. */
  #destroy(): void {
    this.stage2.destroy()
    this.onDestroy?.()
    this.host.memory.tables.freeVm(this.row)
    this.host.memory.bumpGeneration()
  }
}
