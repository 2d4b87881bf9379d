// vCPUs whose "threads" run in the test's own thread, one command at a time: real engine, real exits, no waiting.

import { hpa } from '../../base/units.ts'
import { Engine } from '../../engine/engine.ts'
import { Vcpu } from '../../engine/vcpu-block.ts'
import { VcpuCommand } from '../../hart/requests.ts'
import { VcpuThread } from '../../hart/vcpu-thread.ts'
import { HostMemory } from '../../host/host-memory.ts'
import { vcpuBlock } from '../../host/layout.ts'
import type { TaskHandle } from '../../host/scheduler.ts'
import { assemble } from '../../riscv/asm.ts'
import { kvmFace } from '../face.ts'
import { OneReg } from '../one-reg.ts'
import { DEFAULT_VERSION, hostProfile } from '../profiles.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag } from '../uapi.ts'
import type { KvmVcpu } from '../vcpu.ts'
import { VcpuFile, VcpuMaker } from '../vcpu-file.ts'
import type { Vm } from '../vm.ts'
import { KvmHost, type KvmHostOptions } from './kvm-host.ts'

export const RAM = 0x80000000
const RAM_BYTES = 16 * 4096
const HOST_BYTES = 64 * 2 ** 20

export interface InlineMachineOptions extends Omit<KvmHostOptions, 'memory' | 'hooks'> {
  /** GUEST_MEMFD_FLAG_* of the file behind RAM. */
  readonly ramFlags?: number
  /** Bytes of RAM: 16 pages unless told. */
  readonly ramBytes?: number
  /** Argument of KVM_CREATE_VM: 1 unless told. A VM of type 0 has no private memory, and its slot no host memory. */
  readonly vmType?: 0 | 1
}

/** A VM with RAM at 0x80000000, private where its type has private memory, and its vCPUs. */
export class InlineMachine {
  readonly kvm: KvmHost
  readonly vmFd: number
  readonly vm: Vm
  readonly gmemFd: number
  readonly sharedHva: number
  readonly fds: readonly number[]
  readonly #threads: readonly VcpuThread[]

  constructor(vcpuCount = 1, options: InlineMachineOptions = {}) {
    const memory = HostMemory.create(options.bytes ?? HOST_BYTES)
    const ramBytes = options.ramBytes ?? RAM_BYTES
    const now = (): number => 0
    this.kvm = new KvmHost({
      profile: hostProfile('riscv', DEFAULT_VERSION),
      ...options,
      memory,
      hooks: new VcpuMaker(now),
    })
    const { fd, vm } = this.kvm.createVm(options.vmType ?? 1)
    this.vmFd = fd
    this.vm = vm
    this.gmemFd = this.kvm.createGmem(fd, ramBytes, options.ramFlags)
    this.sharedHva = vm.hasPrivateMemory ? this.kvm.anonymous(ramBytes) : 0
    this.kvm.setSlot(fd, {
      flags: MemFlag.GUEST_MEMFD,
      gpa: RAM,
      size: ramBytes,
      uaddr: this.sharedHva,
      fd: this.gmemFd,
    })
    // Where pages are converted in place, the file's are private from the start.
    if (vm.hasPrivateMemory && !vm.profile.inPlaceConversion)
      this.kvm.setAttributes(fd, RAM, ramBytes, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    this.fds = Array.from({ length: vcpuCount }, (_, id) => this.kvm.ioctl(fd, Kvm.CREATE_VCPU, id))
    this.#threads = this.fds.map(
      (_, index) =>
        new VcpuThread({
          face: kvmFace,
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

  vcpu(id = 0): KvmVcpu {
    const file = this.kvm.process.fds.get(this.fds[id])
    if (!(file instanceof VcpuFile)) throw new Error('not a vCPU descriptor')
    return file.vcpu
  }

  /** Puts a program at the start of private RAM and points the vCPU at it. */
  load(source: string, id = 0): void {
    this.vcpu(id).oneReg.set(OneReg.PC, BigInt(this.place(source, 0)))
  }

  /** Puts a program into the first page of private RAM, `offset` bytes from its start. Returns its address. */
  place(source: string, offset: number): number {
    const words = assemble(source, RAM + offset)
    const slot = this.vm.slotOf(RAM / 4096)
    if (!slot?.gmem) throw new Error('RAM has no guest_memfd')
    const frame = this.kvm.run(slot.gmem.getPfn(0, slot))
    new Uint32Array(this.kvm.host.memory.buffer, frame * 4096 + offset, words.length).set(words)
    this.kvm.host.buddy.put(frame)
    return RAM + offset
  }

  /** KVM_RUN on a vCPU, its thread driven whenever it is told to enter. Returns 0 or -errno. */
  run(id = 0): number {
    const task = this.start(id)
    while (!task.done) {
      this.kvm.host.scheduler.pump()
      this.serve(id)
    }
    if (task.failed) throw task.error
    return task.value ?? 0
  }

  /** Begins KVM_RUN on a vCPU, to be driven by the scheduler and `serve`. */
  start(id = 0): TaskHandle<number> {
    return this.kvm.host.scheduler.spawn(`vcpu${id}`, this.kvm.syscalls.ioctl(this.fds[id], Kvm.RUN, 0))
  }

  /** Does what a vCPU's thread has been told, if anything: the guest runs until its next exit. */
  serve(id = 0): void {
    const { words } = this.vcpu(id)
    const command = words.load(Vcpu.COMMAND)
    if (command === VcpuCommand.NONE) return
    words.store(Vcpu.COMMAND, VcpuCommand.NONE)
    this.#threads[id].serve(command)
  }
}
