// The built-in VMM under Gunyah: the same guest, by Gunyah's calls.

import { hva, PAGE_SIZE } from '../base/units.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import { checkGunyahInvariants } from '../gunyah/invariants.ts'
import type { GunyahSystem } from '../gunyah/system.ts'
import {
  BootRegister,
  bootContext,
  bootRegister,
  dtbConfig,
  FunctionType,
  functionDescription,
  Gunyah,
  StructSize,
} from '../gunyah/uapi.ts'
import type { GunyahVcpu } from '../gunyah/vcpu.ts'
import { GunyahVcpuFile } from '../gunyah/vcpu-file.ts'
import type { GunyahVm } from '../gunyah/vm.ts'
import { GunyahVmFile } from '../gunyah/vm-file.ts'
import type { Hart } from '../hart/hart.ts'
import { PG } from '../host/folio-table.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { GuestPage } from './guest-page.ts'
import { GunyahLoop } from './gunyah-loop.ts'
import { GunyahRam } from './gunyah-ram.ts'
import type { GuestPlacement } from './placement.ts'
import type { VcpuLoopHooks } from './vcpu-hooks.ts'
import { type VcpuRunner, Vmm, type VmmOptions } from './vmm.ts'
import { must } from './vmm-error.ts'

/** A vCPU whose VM has started, so that it has a hart. */
export interface GunyahVmmVcpu {
  readonly fd: number
  readonly vcpu: GunyahVcpu & { readonly hart: Hart }
}

export class GunyahVmm extends Vmm {
  readonly #system: GunyahSystem
  #memory: GunyahRam | null = null
  #vmFd = -1
  override vcpus: readonly GunyahVmmVcpu[] = []

  constructor(process: Process, system: GunyahSystem, options: VmmOptions) {
    super(process, options)
    this.#system = system
  }

  /** The VM object behind the descriptor, for inspection. */
  get vm(): GunyahVm {
    const file = this.process.fds.get(this.#vmFd)
    if (!(file instanceof GunyahVmFile)) throw new Error('the VM descriptor is closed')
    return file.vm
  }

  override get memory(): GunyahRam {
    if (!this.#memory) throw new Error('the VMM is not set up')
    return this.#memory
  }

  override get row(): number {
    return this.vm.row
  }

  override get guestHolds(): boolean {
    return true
  }

  override runner(vcpu: number, hooks: VcpuLoopHooks): VcpuRunner {
    return new GunyahLoop(this, this.vcpus[vcpu], hooks)
  }

  override *setUp(placement: GuestPlacement): KernelTask<void> {
    const { ramBytes, vcpus } = this.options
    const device = this.#system.open(this.process)
    this.#vmFd = yield* must('GUNYAH_CREATE_VM', this.syscalls.ioctl(device, Gunyah.CREATE_VM, 0))
    this.#memory = new GunyahRam(this.syscalls, ramBytes, this.#vmFd, device)
    yield* this.#memory.setUp(placement.segments, this.options.private ? ramBytes : imageEnd(placement))
    const config = dtbConfig({ gpa: placement.deviceTree, size: placement.deviceTreeBytes })
    yield* this.#call('GUNYAH_VM_SET_DTB_CONFIG', Gunyah.VM_SET_DTB_CONFIG, config)
    const pc = bootContext(bootRegister(BootRegister.PC, 0), placement.entry)
    yield* this.#call('GUNYAH_VM_SET_BOOT_CONTEXT', Gunyah.VM_SET_BOOT_CONTEXT, pc)
    const fds: number[] = []
    for (let id = 0; id < vcpus; id++) fds.push(yield* this.#addVcpu(id))
    yield* this.#call('GUNYAH_VM_START', Gunyah.VM_START, 0)
    this.vcpus = fds.map((fd) => ({ fd, vcpu: this.#started(fd) }))
  }

  override page(gfn: number): GuestPage {
    const { vm } = this
    const binding = vm.bindings.get(gfn) ?? null
    const inode = binding?.gmem.inode ?? null
    const index = binding?.fileIndexOf(gfn) ?? 0
    const gmem = inode ? { inode, index, pfn: inode.folio(index) } : null
    const stage2 = vm.resources?.space.stage2 ?? null
    const leafPfn = stage2?.leaf(gfn)?.pfn ?? null
    const backing = gmem?.pfn ?? null
    const pfn = leafPfn ?? backing
    const isPrivate = vm.isPrivate(gfn)
    const grants = this.#system.parameters.reclaim === 'grant'
    return {
      slot: binding,
      isPrivate,
      declaredPrivate: isPrivate,
      gmem,
      host: null,
      leafPfn,
      backing,
      pfn,
      poisoned: pfn !== null && this.process.host.memory.folios.has(pfn, PG.hwpoison),
      hostTakes: grants && leafPfn !== null && !this.process.host.reaches(leafPfn, false),
      stage2: stage2?.walk(gfn) ?? [],
      hostStage2: pfn === null ? [] : this.#system.hypervisor.hostStage2.walk(pfn),
    }
  }

  override violations(): string[] {
    return checkGunyahInvariants(this.#system)
  }

  *#call(name: string, number: number, argument: number | Uint8Array): KernelTask<void> {
    yield* must(name, this.syscalls.ioctl(this.#vmFd, number, argument))
  }

  *#addVcpu(id: number): KernelTask<number> {
    const argument = yield* must('mmap of an argument', this.syscalls.mmapAnonymous(PAGE_SIZE))
    const bytes = new Uint8Array(StructSize.fn_vcpu_arg)
    new DataView(bytes.buffer).setUint32(0, id, true)
    yield* this.syscalls.store(hva(argument), bytes)
    const description = functionDescription(FunctionType.VCPU, bytes.length, argument)
    const added = this.syscalls.ioctl(this.#vmFd, Gunyah.VM_ADD_FUNCTION, description)
    const fd = yield* must('GUNYAH_VM_ADD_FUNCTION', added)
    yield* this.syscalls.munmap(argument, PAGE_SIZE)
    return fd
  }

  #started(fd: number): GunyahVmmVcpu['vcpu'] {
    const file = this.process.fds.get(fd)
    if (!(file instanceof GunyahVcpuFile) || !hasHart(file.vcpu))
      throw new Error('GUNYAH_VM_START left a vCPU without its resource')
    return file.vcpu
  }
}

const hasHart = (vcpu: GunyahVcpu): vcpu is GunyahVmmVcpu['vcpu'] => vcpu.hart !== null

/** Bytes from RAM_BASE to the end of the guest's image, in whole pages. */
const imageEnd = ({ entry, segments }: GuestPlacement): number => {
  const image = segments.filter(({ gpa, memSize }) => entry >= gpa && entry < gpa + memSize)
  const end = Math.max(...image.map(({ gpa, memSize }) => gpa + memSize))
  return Math.ceil((end - RAM_BASE) / PAGE_SIZE) * PAGE_SIZE
}
