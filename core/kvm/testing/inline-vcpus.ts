// vCPUs whose "threads" run in the test's own thread, one command at a time: real engine, real exits, no waiting.

import { hpa } from '../../base/units.ts'
import { Engine } from '../../engine/engine.ts'
import { Vcpu } from '../../engine/vcpu-block.ts'
import { HostMemory } from '../../host/host-memory.ts'
import { vcpuBlock } from '../../host/layout.ts'
import { assemble } from '../../riscv/asm.ts'
import { OneReg } from '../one-reg.ts'
import { DEFAULT_VERSION, hostProfile } from '../profiles.ts'
import { VcpuCommand } from '../requests.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag } from '../uapi.ts'
import type { KvmVcpu } from '../vcpu.ts'
import { VcpuFile, VcpuMaker } from '../vcpu-file.ts'
import { VcpuThread } from '../vcpu-thread.ts'
import type { Vm } from '../vm.ts'
import { KvmHost } from './kvm-host.ts'

export const RAM = 0x80000000
const RAM_BYTES = 16 * 4096
const HOST_BYTES = 64 * 2 ** 20

/** A software-protected VM with 16 private pages of RAM at 0x80000000 and its vCPUs. */
export class InlineMachine {
  readonly kvm: KvmHost
  readonly vmFd: number
  readonly vm: Vm
  readonly gmemFd: number
  readonly sharedHva: number
  readonly fds: readonly number[]
  readonly #threads: readonly VcpuThread[]

  constructor(vcpuCount = 1) {
    const memory = HostMemory.create(HOST_BYTES)
    const now = (): number => 0
    this.kvm = new KvmHost({
      memory,
      hooks: new VcpuMaker(now),
      profile: hostProfile('riscv', DEFAULT_VERSION),
    })
    const { fd, vm } = this.kvm.createVm(1)
    this.vmFd = fd
    this.vm = vm
    this.gmemFd = this.kvm.createGmem(fd, RAM_BYTES)
    this.sharedHva = this.kvm.anonymous(RAM_BYTES)
    this.kvm.setSlot(fd, {
      flags: MemFlag.GUEST_MEMFD,
      gpa: RAM,
      size: RAM_BYTES,
      uaddr: this.sharedHva,
      fd: this.gmemFd,
    })
    this.kvm.setAttributes(fd, RAM, RAM_BYTES, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    this.fds = Array.from({ length: vcpuCount }, (_, id) => this.kvm.ioctl(fd, Kvm.CREATE_VCPU, id))
    this.#threads = this.fds.map(
      (_, index) =>
        new VcpuThread({
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
    const words = assemble(source, RAM)
    const slot = this.vm.slotOf(RAM / 4096)
    if (!slot?.gmem) throw new Error('RAM has no guest_memfd')
    const frame = this.kvm.run(slot.gmem.getPfn(0, slot))
    new Uint32Array(this.kvm.host.memory.buffer, frame * 4096, words.length).set(words)
    this.kvm.host.buddy.put(frame)
    this.vcpu(id).oneReg.set(OneReg.PC, BigInt(RAM))
  }

  /** KVM_RUN on a vCPU, its thread driven whenever it is told to enter. Returns 0 or -errno. */
  run(id = 0): number {
    const { scheduler } = this.kvm.host
    const task = scheduler.spawn(`vcpu${id}`, this.kvm.syscalls.ioctl(this.fds[id], Kvm.RUN, 0))
    while (!task.done) {
      scheduler.pump()
      const { words } = this.vcpu(id)
      const command = words.load(Vcpu.COMMAND)
      if (command === VcpuCommand.NONE) continue
      words.store(Vcpu.COMMAND, VcpuCommand.NONE)
      this.#threads[id].serve(command)
    }
    if (task.failed) throw task.error
    return task.value ?? 0
  }
}
