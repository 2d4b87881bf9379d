// /dev/gunyah: where Gunyah's virtual machines and guest memory come from (gunyah_dev_vm_mgr_ioctl, vm_mgr.c, v17).

import { KernelError } from '../base/errno.ts'
import { FileType, OpenFile, OpenFlag, openedWith } from '../host/file.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { copyFromUser, type UserArgument } from '../host/user-argument.ts'
import { createGuestMem, type GuestMemParameters, GunyahGuestMem } from './guest-mem.ts'
import { HLOS_VMID, Hypervisor, type HypervisorOptions } from './hyp/hypervisor.ts'
import { RmClient } from './rm/client.ts'
import { RmNotification } from './rm/message-ids.ts'
import { ResourceManager } from './rm/resource-manager.ts'
import { decodeExit } from './rm/vm-messages.ts'
import { Gunyah, readCreateMemArgs, StructSize } from './uapi.ts'
import { GunyahVm } from './vm.ts'
import { GunyahVmFile } from './vm-file.ts'

export interface GunyahParameters extends GuestMemParameters, HypervisorOptions {
  /** The host can take single pages out of its direct map (rodata=full on Arm): without, it lends nothing. */
  readonly directMapPages: boolean
}

/** devtmpfs is a tmpfs. */
const devtmpfs = { magic: 0x01021994, blockSize: 4096, blocks: 0, nameLength: 255, noExec: false }

/** Gunyah below a host, and its driver in it: what opening /dev/gunyah reaches. */
export class GunyahSystem {
  readonly host: Host
  readonly parameters: GunyahParameters
  readonly hypervisor: Hypervisor
  readonly manager: ResourceManager
  /** The driver's calls to it. */
  readonly rm: RmClient
  readonly guestMem: GunyahGuestMem
  /** The VMs there are. */
  readonly vms = new Set<GunyahVm>()

  /** From now on the host reaches memory through its stage 2. Throws ENOMEM. */
  constructor(host: Host, parameters: GunyahParameters) {
    this.host = host
    this.parameters = parameters
    this.hypervisor = new Hypervisor(host, parameters)
    this.manager = new ResourceManager(this.hypervisor)
    this.rm = new RmClient(this.manager)
    this.manager.subscribe(HLOS_VMID, (notification, payload) => this.#notified(notification, payload))
    this.guestMem = new GunyahGuestMem(host)
    host.stage2 = { allows: (pfn, write) => this.hypervisor.hostAccess(pfn, write) }
  }

  /** gunyah_vm_rm_notification: of interest is only that a VM has ended. */
  #notified(notification: number, payload: Uint8Array): void {
    const exit = notification === RmNotification.VM_EXITED ? decodeExit(payload) : null
    if (!exit) return
    const reason = new Uint32Array(Uint8Array.of(...exit.reason, 0, 0, 0, 0).slice(0, 4).buffer)[0]
    for (const vm of this.vms) if (vm.vmid === exit.vmid) vm.ended({ type: exit.type, reason })
  }

  /** open("/dev/gunyah", O_RDWR | O_CLOEXEC) in a process: a descriptor. */
  open(process: Process): number {
    return process.fds.install(new GunyahFile(this), true)
  }

  /** GUNYAH_CREATE_VM: a descriptor. EINVAL: the argument is for future use; EMFILE. */
  createVm(process: Process, argument: number): number {
    if (argument !== 0) throw new KernelError('EINVAL')
    process.fds.reserve()
    const vm = new GunyahVm(this, process.id)
    this.vms.add(vm)
    return process.fds.install(new GunyahVmFile(vm), true)
  }
}

class GunyahFile extends OpenFile {
  readonly #system: GunyahSystem

  constructor(system: GunyahSystem, flags: number = OpenFlag.RDWR) {
    super(
      {
        number: system.host.nextInode(),
        mode: FileType.character | 0o600,
        links: 1,
        size: 0,
        name: '/dev/gunyah',
        fileSystem: devtmpfs,
      },
      openedWith(flags),
    )
    this.#system = system
  }

  /** noop_llseek. */
  override lseek(): number {
    return 0
  }

  override reopen(flags: number): OpenFile {
    return new GunyahFile(this.#system, flags)
  }

  override *ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    switch (number) {
      case Gunyah.CREATE_VM:
        return this.#system.createVm(process, typeof argument === 'number' ? argument : 0)
      case Gunyah.CREATE_GUEST_MEM: {
        const view = yield* copyFromUser(process, argument, StructSize.create_mem_args)
        const { guestMem, parameters } = this.#system
        return createGuestMem(process, guestMem, readCreateMemArgs(view), parameters)
      }
      default:
        throw new KernelError('ENOTTY')
    }
  }
}
