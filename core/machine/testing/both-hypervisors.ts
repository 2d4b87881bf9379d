// One host with both hypervisors, two VMs of each, and what a guest, a VMM and a person can do to them, for tests.
//
// Every frame that the allocator has lies between two canaries: frames of the kernel's with a pattern in them that
// nobody may read or write.

import { KernelError } from '../../base/errno.ts'
import { type Gpa, hva, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { checkHostMemory, collector } from '../../gmem/invariants.ts'
import { checkGunyah, gunyahView } from '../../gunyah/invariants.ts'
import { demandPage } from '../../gunyah/paging.ts'
import { type GunyahParameters, GunyahSystem } from '../../gunyah/system.ts'
import { ALLOW_RWX, createMemArgs, dtbConfig, Gunyah, mapMemArgs } from '../../gunyah/uapi.ts'
import type { GunyahVm } from '../../gunyah/vm.ts'
import { GunyahVmFile } from '../../gunyah/vm-file.ts'
import { Falloc } from '../../host/fallocate.ts'
import { PageType } from '../../host/folio-table.ts'
import { Host } from '../../host/host.ts'
import type { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { MapFlag } from '../../host/mmap.ts'
import { Process } from '../../host/process.ts'
import { Syscalls } from '../../host/syscalls.ts'
import { Prot } from '../../host/vma.ts'
import { handleGuestFault } from '../../kvm/fault.ts'
import { checkVms, kvmView } from '../../kvm/invariants.ts'
import { DEFAULT_VERSION, hostProfile } from '../../kvm/profiles.ts'
import { KvmSystem } from '../../kvm/system.ts'
import { noVcpus } from '../../kvm/testing/kvm-host.ts'
import {
  createGuestMemfd,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  memoryAttributes,
  memoryRegion2,
  MemFlag as SlotFlag,
} from '../../kvm/uapi.ts'
import type { Vm } from '../../kvm/vm.ts'
import { VmFile } from '../../kvm/vm-file.ts'

export const RAM = 0x80000000
/** Pages of each VM; the last of a Gunyah VM's is its device tree. */
export const PAGES = 16
const CANARY = 0xc5
const CANARY_STEP = 2

/** A VM of either kind, as the operations see it. */
export interface TestVm {
  readonly kind: 'kvm' | 'gunyah'
  /** Descriptor of its guest memory file. */
  readonly memFd: number
  /** The guest touches a page: the byte there, or why not. `value`: what it stores, unless it only reads. */
  touch(page: number, value: number | null): number | string
  convert(page: number, pages: number, toPrivate: boolean): string
}

export class BothHypervisors {
  readonly host: Host
  readonly process: Process
  readonly syscalls: Syscalls
  readonly kvm: KvmSystem
  readonly gunyah: GunyahSystem
  readonly vms: readonly TestVm[]
  readonly #canaries: Pfn[] = []

  constructor(memory: HostMemory, parameters: GunyahParameters) {
    memory.reset()
    this.host = new Host(memory)
    this.#placeCanaries()
    this.process = new Process(this.host, 47, 4096)
    this.syscalls = new Syscalls(this.process)
    this.kvm = new KvmSystem(this.host, hostProfile('riscv', DEFAULT_VERSION), noVcpus)
    this.gunyah = new GunyahSystem(this.host, parameters)
    this.vms = [this.#kvmVm(), this.#gunyahVm(), this.#kvmVm(), this.#gunyahVm()]
  }

  run<T>(task: KernelTask<T>): T {
    return this.host.scheduler.runSync(task)
  }

  ioctl(fd: number, number: number, argument: number | Uint8Array = 0): number {
    return this.run(this.syscalls.ioctl(fd, number, argument))
  }

  punch(vm: TestVm, page: number, pages: number): number {
    const mode = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
    return this.run(this.syscalls.fallocate(vm.memFd, mode, page * PAGE_SIZE, pages * PAGE_SIZE))
  }

  /** The host maps a page of a VM's file, loads a byte or stores one, and unmaps: the byte, or why not. */
  hostAccess(vm: TestVm, page: number, value: number | null): number | string {
    const prot = Prot.READ | Prot.WRITE
    const offset = page * PAGE_SIZE
    const at = this.run(this.syscalls.mmap(PAGE_SIZE, prot, MapFlag.SHARED, vm.memFd, offset))
    if (at < 0) return String(at)
    if (value !== null) this.run(this.syscalls.store(hva(at), Uint8Array.of(value)))
    const loaded = this.run(this.syscalls.load(hva(at), 1))
    this.run(this.syscalls.munmap(at, PAGE_SIZE))
    return loaded.ok ? loaded.value[0] : loaded.signal
  }

  /** What does not hold; also a canary that changed, or that somebody maps. */
  violations(): string[] {
    const { violations, report } = collector()
    const vms = [...this.kvm.vms]
    checkHostMemory(this.host, [kvmView(vms), gunyahView(this.gunyah)], false, report)
    checkVms(vms, report)
    checkGunyah(this.gunyah, report)
    const fenced = new Set<Pfn>(this.#canaries)
    const mapped = (pfn: Pfn): void => {
      if (fenced.has(pfn)) report('canary', `frame ${pfn} is mapped`)
    }
    kvmView(vms).forEachLeaf(mapped)
    gunyahView(this.gunyah).forEachLeaf(mapped)
    for (const process of this.host.processes) process.forEachPage((_page, pfn) => mapped(pfn))
    for (const pfn of this.#canaries)
      if (this.host.memory.frame(pfn).some((byte) => byte !== CANARY))
        report('canary', `frame ${pfn} changed`)
    return violations
  }

  /** Every second frame of a stretch is a canary; what remains of it is all there is to allocate. */
  #placeCanaries(): void {
    const { buddy, memory } = this.host
    const taken: Pfn[] = []
    for (;;) {
      const pfn = buddy.tryAlloc(0, PageType.kernel, 0, 0)
      if (pfn < 0) break
      taken.push(pfn as Pfn)
    }
    taken.sort((a, b) => a - b)
    // Root tables are blocks of four frames.
    const blocks = taken.length - 512
    for (const [i, pfn] of taken.entries()) {
      if (i < blocks && i % CANARY_STEP === 0) {
        memory.frame(pfn).fill(CANARY)
        this.#canaries.push(pfn)
      } else buddy.put(pfn)
    }
  }

  #kvmVm(): TestVm {
    const system = this.kvm.open(this.process)
    const fd = this.ioctl(system, Kvm.CREATE_VM, 1)
    const file = this.process.fds.get(fd)
    if (!(file instanceof VmFile)) throw new Error('not a VM')
    const { vm } = file
    const memFd = this.ioctl(fd, Kvm.CREATE_GUEST_MEMFD, createGuestMemfd(PAGES * PAGE_SIZE, 0))
    const shared = this.run(this.syscalls.mmapAnonymous(PAGES * PAGE_SIZE))
    const region = memoryRegion2({
      slot: 0,
      flags: SlotFlag.GUEST_MEMFD,
      guestPhysAddr: RAM,
      memorySize: PAGES * PAGE_SIZE,
      userspaceAddr: shared,
      guestMemfd: memFd,
      guestMemfdOffset: 0,
    })
    if (this.ioctl(fd, Kvm.SET_USER_MEMORY_REGION2, region) !== 0) throw new Error('no slot')
    const convert = (page: number, pages: number, toPrivate: boolean): string => {
      const attributes = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
      const request = memoryAttributes(RAM + page * PAGE_SIZE, pages * PAGE_SIZE, attributes)
      const result = this.ioctl(fd, Kvm.SET_MEMORY_ATTRIBUTES, request)
      const [start, end] = [RAM / PAGE_SIZE + page, RAM / PAGE_SIZE + page + pages]
      if (toPrivate) vm.declared?.completeUnshare(start, end)
      else vm.declared?.completeShare(start, end)
      return String(result)
    }
    convert(0, PAGES, true)
    return { kind: 'kvm', memFd, convert, touch: (page, value) => this.#kvmTouch(vm, page, value) }
  }

  #kvmTouch(vm: Vm, page: number, value: number | null): number | string {
    const gfn = RAM / PAGE_SIZE + page
    const fault = this.run(handleGuestFault(vm, (gfn * PAGE_SIZE) as Gpa, value === null ? 'read' : 'write'))
    return fault.kind === 'resume' ? this.#store(vm.stage2.leaf(gfn)?.pfn, value) : fault.kind
  }

  #gunyahVm(): TestVm {
    const device = this.gunyah.open(this.process)
    const fd = this.ioctl(device, Gunyah.CREATE_VM)
    const file = this.process.fds.get(fd)
    if (!(file instanceof GunyahVmFile)) throw new Error('not a VM')
    const { vm } = file
    const memFd = this.ioctl(device, Gunyah.CREATE_GUEST_MEM, createMemArgs(PAGES * PAGE_SIZE))
    const binding = { guestAddr: RAM, flags: ALLOW_RWX, fd: memFd, offset: 0, size: PAGES * PAGE_SIZE }
    if (this.ioctl(fd, Gunyah.VM_MAP_MEM, mapMemArgs(binding)) !== 0) throw new Error('no binding')
    const tree = { gpa: RAM + (PAGES - 1) * PAGE_SIZE, size: PAGE_SIZE }
    this.ioctl(fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig(tree))
    if (this.ioctl(fd, Gunyah.VM_START) !== 0) throw new Error('the VM does not start')
    return {
      kind: 'gunyah',
      memFd,
      touch: (page, value) => this.#gunyahTouch(vm, page, value),
      convert: (page, pages, toPrivate) => this.#gunyahConvert(vm, page, pages, toPrivate),
    }
  }

  #gunyahTouch(vm: GunyahVm, page: number, value: number | null): number | string {
    const gfn = RAM / PAGE_SIZE + page
    const refusal = this.#attempt(demandPage(vm, (gfn * PAGE_SIZE) as Gpa, value !== null))
    if (refusal !== '' && refusal !== 'EAGAIN') return refusal
    return this.#store(vm.resources?.space.stage2.leaf(gfn)?.pfn, value)
  }

  /** As COVG checks it: all of the range is in the other state. */
  #gunyahConvert(vm: GunyahVm, page: number, pages: number, toPrivate: boolean): string {
    const start = RAM / PAGE_SIZE + page
    const range = { start, end: start + pages }
    if (!vm.isUniform(range.start, range.end, !toPrivate)) return 'INVALID_PARAM'
    return this.#attempt(toPrivate ? vm.parcels.unshare(range) : vm.parcels.share(range))
  }

  #attempt(task: KernelTask<void>): string {
    try {
      this.run(task)
      return ''
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      return error.errno
    }
  }

  /** What a guest's load finds in its frame; with a value, after its store. */
  #store(pfn: Pfn | undefined, value: number | null): number | string {
    if (pfn === undefined) return 'no leaf'
    const frame = this.host.memory.frame(pfn)
    if (value !== null) frame[0] = value
    return frame[0]
  }
}
