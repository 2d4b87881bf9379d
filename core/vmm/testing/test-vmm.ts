// A VMM with a small guest on a host of its own, without vCPU threads, for tests.

import { RAM_BASE } from '../../devices/memory-map.ts'
import { MmioBus } from '../../devices/mmio-bus.ts'
import { Host } from '../../host/host.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { Process } from '../../host/process.ts'
import type { LinuxVersion } from '../../kvm/behaviours.ts'
import { hostProfile } from '../../kvm/profiles.ts'
import { KvmSystem } from '../../kvm/system.ts'
import { VcpuMaker } from '../../kvm/vcpu-file.ts'
import { KvmVmm } from '../kvm-vmm.ts'
import type { VcpuLoopHooks } from '../vcpu-hooks.ts'

const PAGE = 4096
/** Bytes of the guest's RAM. */
export const RAM_BYTES = 64 * PAGE
/** The guest's image, from byte 16 of RAM. */
export const CODE = new Uint8Array(3 * PAGE).fill(0x13)
/** A page that the image does not touch. */
export const FREE = RAM_BASE + 8 * PAGE

export class TestVmm {
  readonly host: Host
  readonly vmm: KvmVmm

  constructor(version: LinuxVersion, isPrivate = true) {
    this.host = new Host(HostMemory.create(16 * 2 ** 20))
    const system = new KvmSystem(this.host, hostProfile('riscv', version), new VcpuMaker(() => 0))
    const options = { ramBytes: RAM_BYTES, vcpus: 1, private: isPrivate, now: () => 0 }
    this.vmm = new KvmVmm(new Process(this.host), system, options)
    const segments = [{ gpa: RAM_BASE + 16, data: CODE, memSize: CODE.length }]
    this.run(this.vmm.setUp({ entry: RAM_BASE, deviceTree: RAM_BASE, deviceTreeBytes: 0, segments }))
  }

  run<T>(task: KernelTask<T>): T {
    return this.host.scheduler.runSync(task)
  }

  violations(): string[] {
    return this.vmm.violations()
  }
}

/** Hooks that record the notices by name. */
export const recordingHooks = (accepts: boolean): { told: string[]; hooks: VcpuLoopHooks } => {
  const told: string[] = []
  const tell = (name: string) => (): void => void told.push(name)
  return {
    told,
    hooks: {
      paused: () => false,
      acceptsConversions: () => accepts,
      consoleByte: () => true,
      mmio: new MmioBus([]),
      notices: {
        memoryFault: tell('memoryFault'),
        refused: tell('refused'),
        blocked: tell('blocked'),
        pageFault: tell('pageFault'),
        outOfMemory: tell('outOfMemory'),
        poisoned: tell('poisoned'),
      },
    },
  }
}
