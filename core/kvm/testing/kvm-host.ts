// A small host with KVM and one process, for tests and the vector replayer.

import { KernelError } from '../../base/errno.ts'
import { Host } from '../../host/host.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { Process } from '../../host/process.ts'
import { Syscalls } from '../../host/syscalls.ts'
import { defaultParameters, type KvmParameters } from '../parameters.ts'
import type { HostProfile } from '../profiles.ts'
import { DEFAULT_VERSION, hostProfile } from '../profiles.ts'
import { KvmSystem } from '../system.ts'
import { createGuestMemfd, Kvm, memoryAttributes, memoryRegion2 } from '../uapi.ts'
import type { KvmDebug, KvmHooks, Vm } from '../vm.ts'
import { VmFile } from '../vm-file.ts'

/** Hooks of a KVM without vCPUs. */
export const noVcpus: KvmHooks = {
  // biome-ignore lint/correctness/useYield: refuses at once
  *createVcpu() {
    throw new KernelError('EINVAL')
  },
  *remoteFlush() {},
  vcpuMmapSize: 4096,
}

export interface KvmHostOptions {
  readonly profile?: HostProfile
  readonly memory?: HostMemory
  readonly bytes?: number
  /** NUMA nodes of the host. */
  readonly nodes?: 1 | 2
  readonly hooks?: KvmHooks
  readonly debug?: KvmDebug
  /** Fill freed frames, so that a missing zeroing shows; default true. */
  readonly poison?: boolean
  readonly parameters?: Partial<KvmParameters>
}

export class KvmHost {
  readonly host: Host
  readonly process: Process
  readonly syscalls: Syscalls
  readonly system: KvmSystem
  /** Descriptor of /dev/kvm. */
  readonly kvm: number

  constructor(options: KvmHostOptions = {}) {
    const profile = options.profile ?? hostProfile('riscv', DEFAULT_VERSION)
    this.host = new Host(options.memory ?? HostMemory.create(options.bytes ?? 64 * 2 ** 20), {
      poison: options.poison ?? true,
      nodes: options.nodes ?? 1,
    })
    this.process = new Process(this.host, profile.userAddressBits, 65536)
    this.syscalls = new Syscalls(this.process)
    this.system = new KvmSystem(this.host, profile, options.hooks ?? noVcpus, {
      parameters: { ...defaultParameters, ...options.parameters },
      debug: options.debug ?? {},
    })
    this.kvm = this.system.open(this.process)
  }

  run<T>(task: KernelTask<T>): T {
    return this.host.scheduler.runSync(task)
  }

  ioctl(fd: number, number: number, argument: number | Uint8Array = 0): number {
    return this.run(this.syscalls.ioctl(fd, number, argument))
  }

  createVm(type = 1): { fd: number; vm: Vm } {
    const fd = this.ioctl(this.kvm, Kvm.CREATE_VM, type)
    const file = this.process.fds.get(fd)
    if (!(file instanceof VmFile)) throw new Error('not a VM descriptor')
    return { fd, vm: file.vm }
  }

  createGmem(vm: number, size: number, flags = 0): number {
    return this.ioctl(vm, Kvm.CREATE_GUEST_MEMFD, createGuestMemfd(size, flags))
  }

  setSlot(vm: number, slot: SlotRequest): number {
    const bytes = memoryRegion2({
      slot: slot.slot ?? 0,
      flags: slot.flags ?? 0,
      guestPhysAddr: slot.gpa ?? 0,
      memorySize: slot.size,
      userspaceAddr: slot.uaddr ?? 0,
      guestMemfd: slot.fd ?? -1,
      guestMemfdOffset: slot.offset ?? 0,
    })
    return this.ioctl(vm, Kvm.SET_USER_MEMORY_REGION2, bytes)
  }

  setAttributes(vm: number, address: number, size: number, attributes: number): number {
    return this.ioctl(vm, Kvm.SET_MEMORY_ATTRIBUTES, memoryAttributes(address, size, attributes))
  }

  anonymous(length: number): number {
    return this.run(this.syscalls.mmapAnonymous(length))
  }
}

export interface SlotRequest {
  readonly slot?: number
  readonly flags?: number
  readonly gpa?: number
  readonly size: number
  readonly uaddr?: number
  readonly fd?: number
  readonly offset?: number
}
