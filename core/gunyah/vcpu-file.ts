// The vCPU descriptor (gunyah_vcpu_fops, gunyah_vcpu.c, v17).

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import { AnonInodeFile, VM_FAULT_SIGBUS } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { UserArgument } from '../host/user-argument.ts'
import type { Vma } from '../host/vma.ts'
import { Gunyah } from './uapi.ts'
import type { GunyahVcpu } from './vcpu.ts'

export class GunyahVcpuFile extends AnonInodeFile {
  readonly vcpu: GunyahVcpu

  constructor(vcpu: GunyahVcpu) {
    super(`gh-vcpu:${vcpu.id}`)
    this.vcpu = vcpu
    vcpu.vm.get()
  }

  override get mappable(): boolean {
    return true
  }

  override *mmap(_vma: Vma): KernelTask<void> {}

  /** Page 0 is struct gunyah_vcpu_run; nothing lies beyond. */
  // biome-ignore lint/correctness/useYield: the page is always there
  override *fault(_vma: Vma, index: number): KernelTask<Pfn | number> {
    return index === 0 ? this.vcpu.runFrame : VM_FAULT_SIGBUS
  }

  override *ioctl(_process: Process, number: number, _argument: UserArgument): KernelTask<number> {
    switch (number) {
      case Gunyah.VCPU_RUN:
        yield* this.vcpu.ioctlRun()
        return 0
      case Gunyah.VCPU_MMAP_SIZE:
        return PAGE_SIZE
      default:
        throw new KernelError('ENOTTY')
    }
  }

  protected override *release(): KernelTask<void> {
    this.vcpu.put()
    yield* this.vcpu.vm.put()
  }
}
