// /dev/kvm: the system descriptor, where virtual machines come from (kvm_dev_ioctl, v7.2).

import { KernelError } from '../base/errno.ts'
import { anonInodeFs, FileType, OpenFile, OpenFlag, openedWith } from '../host/file.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { UserArgument } from '../host/user-argument.ts'
import { checkExtension } from './capabilities.ts'
import { defaultParameters } from './parameters.ts'
import type { HostProfile } from './profiles.ts'
import { KVM_API_VERSION, Kvm } from './uapi.ts'
import { type KvmConfiguration, type KvmHooks, Vm } from './vm.ts'
import { VmFile } from './vm-file.ts'

/** KVM on a host: what opening /dev/kvm reaches. */
export class KvmSystem {
  readonly host: Host
  readonly #configuration: KvmConfiguration
  /** The VMs there are. */
  readonly vms = new Set<Vm>()

  constructor(
    host: Host,
    profile: HostProfile,
    hooks: KvmHooks,
    options: Partial<Pick<KvmConfiguration, 'parameters' | 'debug'>> = {},
  ) {
    this.host = host
    this.#configuration = { profile, hooks, parameters: defaultParameters, debug: {}, ...options }
  }

  get profile(): HostProfile {
    return this.#configuration.profile
  }

  /** open("/dev/kvm", O_RDWR | O_CLOEXEC) in a process: a descriptor. */
  open(process: Process): number {
    return process.fds.install(new KvmFile(this), true)
  }

  /** KVM_CREATE_VM: a descriptor. EMFILE, EINVAL for the type, ENOMEM. */
  createVm(process: Process, type: number): number {
    process.fds.reserve()
    const vmType = this.profile.vmTypes.find((row) => row.type === type)
    if (!vmType) throw new KernelError('EINVAL')
    const vm = new Vm(process, vmType, this.#configuration)
    this.vms.add(vm)
    vm.onDestroy = () => this.vms.delete(vm)
    return process.fds.install(new VmFile(vm), true)
  }

  get vcpuMmapSize(): number {
    return this.#configuration.hooks.vcpuMmapSize
  }
}

class KvmFile extends OpenFile {
  readonly #system: KvmSystem

  constructor(system: KvmSystem, flags: number = OpenFlag.RDWR) {
    const inode = {
      number: system.host.nextInode(),
      mode: FileType.character | 0o600,
      links: 1,
      size: 0,
      name: '/dev/kvm',
      fileSystem: { ...anonInodeFs, magic: 0x01021994, noExec: false },
    }
    super(inode, openedWith(flags))
    this.#system = system
  }

  override get positioned(): boolean {
    return true
  }

  /** noop_llseek. */
  override lseek(): number {
    return 0
  }

  override reopen(flags: number): OpenFile {
    return new KvmFile(this.#system, flags)
  }

  // biome-ignore lint/correctness/useYield: none of these waits
  override *ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    const value = typeof argument === 'number' ? argument : 0
    switch (number) {
      case Kvm.GET_API_VERSION:
        if (value !== 0) throw new KernelError('EINVAL')
        return KVM_API_VERSION
      case Kvm.CREATE_VM:
        return this.#system.createVm(process, value)
      case Kvm.CHECK_EXTENSION:
        return checkExtension(this.#system.profile, null, value)
      case Kvm.GET_VCPU_MMAP_SIZE:
        if (value !== 0) throw new KernelError('EINVAL')
        return this.#system.vcpuMmapSize
      default:
        throw new KernelError(this.#system.profile.unknownSystemIoctl)
    }
  }
}
