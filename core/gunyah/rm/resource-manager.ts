// The Resource Manager: the privileged VM that owns the policy and answers RPC from every other VM.
//
// Calls are bytes, and callers are not trusted: what is malformed gets MSG_INVALID. Calls run one at a time.

import type { KernelTask, Step } from '../../host/kernel-task.ts'
import { Mutex } from '../../host/locks.ts'
import { HLOS_VMID, type Hypervisor } from '../hyp/hypervisor.ts'
import { acceptParcel, lookUpSgl, notifyOthers, releaseParcel } from './borrower-calls.ts'
import { RmError } from './error.ts'
import { appendToParcel, createParcel, reclaimParcel } from './memory-calls.ts'
import { RmMessage, VmState } from './message-ids.ts'
import { ParcelKind } from './parcel.ts'
import { type ManagedVm, Registry, type Subscriber } from './registry.ts'
import { failure, type Reply, success } from './reply.ts'
import { decodeRpc, encodeRpc, RpcType } from './rpc.ts'
import {
  allocVmid,
  configImage,
  deallocVmid,
  getResources,
  initVm,
  resetVm,
  setAddressLayout,
  setDemandPaging,
  startVm,
  vmExited,
} from './vm-calls.ts'
import { decodeStop, decodeVmid, ExitType, STOP_FORCED } from './vm-messages.ts'
import { WireWriter } from './wire.ts'

const CALL: Step = { at: 'gunyah_rm/call' }
const NO_MESSAGE = { sequence: 0, messageId: 0 }

export class ResourceManager {
  readonly #registry: Registry
  readonly #lock: Mutex

  constructor(hypervisor: Hypervisor) {
    this.#registry = new Registry(hypervisor)
    this.#lock = new Mutex(hypervisor.host, 'gunyah_rm->lock')
  }

  get hypervisor(): Hypervisor {
    return this.#registry.hypervisor
  }

  /** For invariants and the inspector: what there is. */
  get registry(): Registry {
    return this.#registry
  }

  /** Delivers a VM's notifications to `subscriber`; one per VM. */
  subscribe(vmid: number, subscriber: Subscriber): void {
    this.#registry.subscribers.set(vmid, subscriber)
  }

  stateOf(vmid: number): VmState {
    return this.#registry.vms.get(vmid)?.state ?? VmState.NO_STATE
  }

  /** A running VM switched itself off, or was reset by its watchdog: the primary VM hears of it. `type`: ExitType. */
  vmExited(vmid: number, type: number, reason: Uint8Array): void {
    const vm = this.#registry.vms.get(vmid)
    if (vm?.state === VmState.RUNNING) vmExited(this.#registry, vm, type, reason)
  }

  /** An RPC message as its parts on the queue; the reply likewise. What is no request gets MSG_INVALID. */
  *exchange(vmid: number, parts: readonly Uint8Array[]): KernelTask<Uint8Array[]> {
    const request = decodeRpc(parts)
    const { error, payload } =
      request?.type === RpcType.REQUEST
        ? yield* this.call(vmid, request.messageId, request.payload)
        : failure(RmError.MSG_INVALID)
    const { sequence, messageId } = request ?? NO_MESSAGE
    const body = new Uint8Array(4 + payload.length)
    body.set(new WireWriter().u32(error).bytes)
    body.set(payload, 4)
    return encodeRpc({ type: RpcType.REPLY, sequence, messageId, payload: body })
  }

  /** A call of a VM's. Never throws, whatever the payload. */
  *call(vmid: number, messageId: number, payload: Uint8Array): KernelTask<Reply> {
    const { host } = this.hypervisor
    if (host.scheduler.stepping) yield CALL
    yield* this.#lock.lock()
    try {
      const reply = yield* this.#dispatch(vmid, messageId, payload)
      this.#registry.mirror()
      host.trace('gunyah_rm_call', vmid, messageId, reply.error)
      return reply
    } finally {
      this.#lock.unlock()
    }
  }

  *#dispatch(vmid: number, messageId: number, payload: Uint8Array): KernelTask<Reply> {
    const registry = this.#registry
    switch (messageId) {
      case RmMessage.MEM_DONATE:
        return yield* createParcel(registry, vmid, ParcelKind.donate, payload)
      case RmMessage.MEM_LEND:
        return yield* createParcel(registry, vmid, ParcelKind.lend, payload)
      case RmMessage.MEM_SHARE:
        return yield* createParcel(registry, vmid, ParcelKind.share, payload)
      case RmMessage.MEM_APPEND:
        return yield* appendToParcel(registry, vmid, payload)
      case RmMessage.MEM_RECLAIM:
        return yield* reclaimParcel(registry, vmid, payload)
      case RmMessage.MEM_ACCEPT:
        return yield* acceptParcel(registry, vmid, payload)
      case RmMessage.MEM_RELEASE:
        return yield* releaseParcel(registry, vmid, payload)
      case RmMessage.MEM_NOTIFY:
        return notifyOthers(registry, vmid, payload)
      case RmMessage.MEM_LOOKUP_SGL:
        return lookUpSgl(registry, vmid, payload)
      default:
        return yield* this.#manage(vmid, messageId, payload)
    }
  }

  /** Calls on VMs: the primary VM's only. All but ALLOC_VMID start with a vmid. */
  *#manage(caller: number, messageId: number, payload: Uint8Array): KernelTask<Reply> {
    if (!vmCalls.has(messageId)) return failure(RmError.UNIMPLEMENTED)
    if (caller !== HLOS_VMID) return failure(RmError.DENIED)
    if (messageId === RmMessage.VM_ALLOC_VMID) return allocVmid(this.#registry, payload)
    const vmid = decodeVmid(longCalls.has(messageId) ? payload.subarray(0, 4) : payload)
    if (vmid === null) return failure(RmError.MSG_INVALID)
    const vm = this.#registry.vms.get(vmid)
    return vm ? yield* this.#onVm(vm, messageId, payload) : failure(RmError.VMID_INVALID)
  }

  *#onVm(vm: ManagedVm, messageId: number, payload: Uint8Array): KernelTask<Reply> {
    const registry = this.#registry
    switch (messageId) {
      case RmMessage.VM_DEALLOC_VMID:
        return yield* deallocVmid(registry, vm)
      case RmMessage.VM_CONFIG_IMAGE:
        return configImage(registry, vm, payload)
      case RmMessage.VM_SET_DEMAND_PAGING:
        return setDemandPaging(vm, payload)
      case RmMessage.VM_SET_ADDRESS_LAYOUT:
        return setAddressLayout(vm, payload)
      case RmMessage.VM_INIT:
        return yield* initVm(registry, vm)
      case RmMessage.VM_START:
        return startVm(registry, vm)
      case RmMessage.VM_STOP:
        return this.#stop(vm, payload)
      case RmMessage.VM_RESET:
        return yield* resetVm(registry, vm)
      default:
        return getResources(vm)
    }
  }

  /** VM_STOP: by force is the only way here. */
  #stop(vm: ManagedVm, payload: Uint8Array): Reply {
    const request = decodeStop(payload)
    if (!request) return failure(RmError.MSG_INVALID)
    if (request.flags !== STOP_FORCED.flags) return failure(RmError.ARGUMENT_INVALID)
    if (vm.state !== VmState.RUNNING) return failure(RmError.VM_STATE)
    vmExited(this.#registry, vm, ExitType.VM_EXIT, new WireWriter().u32(request.reason).bytes)
    return success()
  }
}

/** Calls on a VM whose payload goes on after the vmid. */
const longCalls: ReadonlySet<number> = new Set([
  RmMessage.VM_CONFIG_IMAGE,
  RmMessage.VM_SET_DEMAND_PAGING,
  RmMessage.VM_SET_ADDRESS_LAYOUT,
  RmMessage.VM_STOP,
])
const vmCalls: ReadonlySet<number> = new Set([
  ...longCalls,
  RmMessage.VM_ALLOC_VMID,
  RmMessage.VM_DEALLOC_VMID,
  RmMessage.VM_INIT,
  RmMessage.VM_START,
  RmMessage.VM_RESET,
  RmMessage.VM_GET_HYP_RESOURCES,
])
