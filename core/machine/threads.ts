// What runs in a machine's other threads: a vCPU, and the timer. Workers only call these with their message.

import { hpa } from '../base/units.ts'
import { PlatformDevices } from '../devices/platform-devices.ts'
import { Engine } from '../engine/engine.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import { gunyahFace } from '../gunyah/face.ts'
import { VcpuMode, VcpuWords } from '../hart/requests.ts'
import { VcpuThread } from '../hart/vcpu-thread.ts'
import { HostMemory } from '../host/host-memory.ts'
import { Header, vcpuBlock } from '../host/layout.ts'
import { kvmFace } from '../kvm/face.ts'
import type { HypervisorKind } from './host-choice.ts'

export { TIMEBASE_HZ } from '../engine/vcpu-block.ts'

/** What a thread is told at its start; it can be posted. */
export interface ThreadInit {
  readonly memory: WebAssembly.Memory
  readonly vcpuCount: number
  /** The machine's epoch on the scale of the platform's shared clock. */
  readonly epoch: number
}

export interface VcpuInit extends ThreadInit {
  /** Hart id. */
  readonly index: number
  readonly hypervisor: HypervisorKind
  /** Processor cores of the real machine. */
  readonly cores: number
}

const faces = { kvm: kvmFace, gunyah: gunyahFace } as const

/** Period of the kick that makes vCPUs look at their timers, in milliseconds. */
const TICK_MS = 1

const SEIP = 1 << 9

/** The devices, driving the external interrupts of the machine's vCPUs. */
export const attachDevices = (host: HostMemory, vcpuCount: number): PlatformDevices => {
  const harts = Array.from(
    { length: vcpuCount },
    (_, hart) => new VcpuWords(host.buffer, vcpuBlock(host.layout, hart)),
  )
  return new PlatformDevices(host.buffer, host.layout.devices, vcpuCount, (hart, level) =>
    harts[hart].setPending(SEIP, level),
  )
}

/** Readies a vCPU thread; the returned function runs it until it is told to stop, and blocks. */
export const prepareVcpu = (init: VcpuInit, now: () => number): (() => void) => {
  const host = HostMemory.attach(init.memory)
  const thread = new VcpuThread({
    face: faces[init.hypervisor],
    buffer: host.buffer,
    layout: host.layout,
    index: init.index,
    vcpuCount: init.vcpuCount,
    engine: new Engine(init.memory, hpa(vcpuBlock(host.layout, init.index)), now),
    devices: attachDevices(host, init.vcpuCount),
    now,
    trace: host.traceRing(init.index + 1),
    cores: init.cores,
  })
  return () => thread.loop()
}

/** Runs the timer thread until the header says stop; blocks. */
export const runTimer = (init: ThreadInit): void => {
  const host = HostMemory.attach(init.memory)
  const devices = attachDevices(host, init.vcpuCount)
  const vcpus = Array.from(
    { length: init.vcpuCount },
    (_, index) => new VcpuWords(host.buffer, vcpuBlock(host.layout, index)),
  )
  while (Atomics.wait(host.i32, Header.STOP, 0, TICK_MS) === 'timed-out') {
    for (const vcpu of vcpus) if (vcpu.load(Vcpu.MODE) === VcpuMode.IN_GUEST_MODE) vcpu.store(Vcpu.POLL, 1)
    // A page cannot take the UART's lock, so its reading leaves a stalled transmitter for this thread to restart.
    devices.uart.drain(0)
  }
}
