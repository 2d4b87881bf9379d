// A small host with Gunyah below it and one process, for tests; vCPU "threads" run in the test's own thread.

import { hpa, hva, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import { Engine } from '../../engine/engine.ts'
import { Vcpu } from '../../engine/vcpu-block.ts'
import { VcpuCommand } from '../../hart/requests.ts'
import { VcpuThread } from '../../hart/vcpu-thread.ts'
import { Falloc } from '../../host/fallocate.ts'
import { Host } from '../../host/host.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { vcpuBlock } from '../../host/layout.ts'
import { MapFlag } from '../../host/mmap.ts'
import { Process } from '../../host/process.ts'
import type { TaskHandle } from '../../host/scheduler.ts'
import { Syscalls } from '../../host/syscalls.ts'
import { Prot } from '../../host/vma.ts'
import { assemble } from '../../riscv/asm.ts'
import { gunyahFace } from '../face.ts'
import { checkGunyahInvariants } from '../invariants.ts'
import { type GunyahParameters, GunyahSystem } from '../system.ts'
import {
  ALLOW_RWX,
  BootRegister,
  bootContext,
  bootRegister,
  createMemArgs,
  dtbConfig,
  FunctionType,
  functionDescription,
  Gunyah,
  mapMemArgs,
} from '../uapi.ts'
import type { GunyahVcpu } from '../vcpu.ts'
import { GunyahVcpuFile } from '../vcpu-file.ts'
import type { GunyahVm } from '../vm.ts'
import { GunyahVmFile } from '../vm-file.ts'

/** Where tests bind memory. */
export const RAM = 0x80000000
/** Pages that tests bind, and where among them the device tree is: the last. */
export const RAM_PAGES = 16
export const DTB_PAGE = RAM_PAGES - 1

const HOST_BYTES = 64 * 2 ** 20

export const parameters: GunyahParameters = {
  gmemStore: 'xarray',
  gmemLargeFolios: false,
  reclaim: 'refuse',
  directMapPages: true,
}

/** What a test binds: gpa, flags and so on, each with a default. */
export interface MapRequest {
  readonly gpa?: number
  readonly flags?: number
  readonly fd: number
  readonly offset?: number
  readonly size?: number
}

export class GunyahHost {
  readonly host: Host
  readonly process: Process
  readonly syscalls: Syscalls
  readonly system: GunyahSystem
  /** Descriptor of /dev/gunyah. */
  readonly device: number

  /** `poison`: freed frames are filled, so that a missing zeroing shows. */
  constructor(
    options: Partial<GunyahParameters> = {},
    memory = HostMemory.create(HOST_BYTES),
    { poison }: { readonly poison: boolean } = { poison: true },
  ) {
    this.host = new Host(memory, { poison })
    this.process = new Process(this.host, 47, 65536)
    this.process.privileged = true
    this.syscalls = new Syscalls(this.process)
    this.system = new GunyahSystem(this.host, { ...parameters, ...options })
    this.device = this.system.open(this.process)
  }

  run<T>(task: KernelTask<T>): T {
    return this.host.scheduler.runSync(task)
  }

  ioctl(fd: number, number: number, argument: number | Uint8Array = 0): number {
    return this.run(this.syscalls.ioctl(fd, number, argument))
  }

  createVm(): { fd: number; vm: GunyahVm } {
    const fd = this.ioctl(this.device, Gunyah.CREATE_VM)
    const file = this.process.fds.get(fd)
    if (!(file instanceof GunyahVmFile)) throw new Error('not a VM descriptor')
    return { fd, vm: file.vm }
  }

  createMem(pages = RAM_PAGES, flags = 0): number {
    return this.ioctl(this.device, Gunyah.CREATE_GUEST_MEM, createMemArgs(pages * PAGE_SIZE, flags))
  }

  mapMem(vm: number, request: MapRequest): number {
    const args = mapMemArgs({
      guestAddr: request.gpa ?? RAM,
      flags: request.flags ?? ALLOW_RWX,
      fd: request.fd,
      offset: request.offset ?? 0,
      size: request.size ?? RAM_PAGES * PAGE_SIZE,
    })
    return this.ioctl(vm, Gunyah.VM_MAP_MEM, args)
  }

  /** Adds a vCPU: its descriptor or -errno. */
  addVcpu(vm: number, id = 0): number {
    const address = this.run(this.syscalls.mmapAnonymous(PAGE_SIZE))
    this.run(this.syscalls.store(hva(address), Uint8Array.of(id, 0, 0, 0)))
    return this.ioctl(vm, Gunyah.VM_ADD_FUNCTION, functionDescription(FunctionType.VCPU, 4, address))
  }

  /** Maps a file, shared; the address or -errno. */
  mmap(fd: number, page = 0, pages = 1): number {
    const size = pages * PAGE_SIZE
    return this.run(this.syscalls.mmap(size, Prot.READ | Prot.WRITE, MapFlag.SHARED, fd, page * PAGE_SIZE))
  }

  munmap(address: number, pages = 1): number {
    return this.run(this.syscalls.munmap(address, pages * PAGE_SIZE))
  }

  /** Maps, writes and unmaps. */
  write(fd: number, page: number, bytes: Uint8Array): void {
    const address = this.mmap(fd, page)
    const stored = this.run(this.syscalls.store(hva(address), bytes))
    if (!stored.ok) throw new Error(`the host got ${stored.signal}`)
    this.munmap(address)
  }

  /** Maps, reads and unmaps: the bytes, a negative errno of mmap, or the signal. */
  read(fd: number, page: number, length: number): Uint8Array | number | string {
    const address = this.mmap(fd, page)
    if (address < 0) return address
    const loaded = this.run(this.syscalls.load(hva(address), length))
    this.munmap(address)
    return loaded.ok ? loaded.value : loaded.signal
  }

  punch(fd: number, page: number, pages = 1): number {
    const mode = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
    return this.run(this.syscalls.fallocate(fd, mode, page * PAGE_SIZE, pages * PAGE_SIZE))
  }

  violations(): string[] {
    return checkGunyahInvariants(this.system)
  }
}

/** A VM with RAM at RAM, lent unless told, and vCPUs that run in the test's thread. */
export class GunyahMachine extends GunyahHost {
  readonly vmFd: number
  readonly vm: GunyahVm
  readonly memFd: number
  readonly #fds: number[]
  readonly #threads: VcpuThread[]

  constructor(
    options: Partial<GunyahParameters> & { readonly flags?: number; readonly vcpus?: number } = {},
  ) {
    super(options)
    const { fd, vm } = this.createVm()
    this.vmFd = fd
    this.vm = vm
    this.memFd = this.createMem()
    const flags = options.flags ?? ALLOW_RWX
    if (this.mapMem(fd, { fd: this.memFd, flags }) !== 0) throw new Error('MAP_MEM failed')
    this.ioctl(fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig({ gpa: RAM + DTB_PAGE * PAGE_SIZE, size: PAGE_SIZE }))
    const vcpuCount = options.vcpus ?? 1
    this.#fds = Array.from({ length: vcpuCount }, (_, id) => this.addVcpu(fd, id))
    const { memory } = this.host
    const now = (): number => 0
    this.#threads = this.#fds.map(
      (_, index) =>
        new VcpuThread({
          face: gunyahFace,
          buffer: memory.buffer,
          layout: memory.layout,
          index,
          vcpuCount,
          engine: new Engine(memory.memory, hpa(vcpuBlock(memory.layout, index)), now),
          devices: { owns: () => false, load: () => 0, store: () => {} },
          now,
          trace: memory.traceRing(index + 1),
          cores: 1,
        }),
    )
  }

  vcpu(id = 0): GunyahVcpu {
    const file = this.process.fds.get(this.#fds[id])
    if (!(file instanceof GunyahVcpuFile)) throw new Error('not a vCPU descriptor')
    return file.vcpu
  }

  vcpuFd(id = 0): number {
    return this.#fds[id]
  }

  /** Register xN as an unsigned number. */
  x(n: number, id = 0): number {
    const { hart } = this.vcpu(id)
    if (!hart) throw new Error('the VM has not started')
    return hart.registers.x(n)
  }

  /** Writes a program to the start of RAM from the host, points the boot context at it, and starts the VM. */
  boot(source: string): number {
    const words = Uint32Array.from(assemble(source, RAM))
    this.write(this.memFd, 0, new Uint8Array(words.buffer))
    this.ioctl(this.vmFd, Gunyah.VM_SET_BOOT_CONTEXT, bootContext(bootRegister(BootRegister.PC, 0), RAM))
    return this.ioctl(this.vmFd, Gunyah.VM_START)
  }

  /** GUNYAH_VCPU_RUN, the thread driven whenever it is told to enter. Returns 0 or -errno. */
  enter(id = 0): number {
    const task = this.start(id)
    while (!task.done) {
      this.host.scheduler.pump()
      this.serve(id)
    }
    if (task.failed) throw task.error
    return task.value ?? 0
  }

  start(id = 0): TaskHandle<number> {
    return this.host.scheduler.spawn(`vcpu${id}`, this.syscalls.ioctl(this.#fds[id], Gunyah.VCPU_RUN))
  }

  /** Does what a vCPU's thread has been told, if anything. */
  serve(id = 0): void {
    const words = this.vcpu(id).hart?.words
    const command = words?.load(Vcpu.COMMAND) ?? VcpuCommand.NONE
    if (command === VcpuCommand.NONE) return
    words?.store(Vcpu.COMMAND, VcpuCommand.NONE)
    this.#threads[id].serve(command)
  }

  /** The frame behind a page of RAM, or null. */
  frame(page: number): Pfn | null {
    return this.vm.bindings.get(RAM / PAGE_SIZE + page)?.gmem.inode.folio(page) ?? null
  }
}
