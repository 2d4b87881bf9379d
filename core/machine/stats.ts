// The machine's counters, summed over its vCPUs, for `--stats` and the status bar.

import { Vcpu } from '../engine/vcpu-block.ts'
import { VcpuRegisters } from '../hart/vcpu-registers.ts'
import { vcpuStatOffset, vcpuStats } from '../hart/vcpu-stats.ts'
import type { HostMemory } from '../host/host-memory.ts'
import { vcpuBlock } from '../host/layout.ts'
import { VmFloat } from '../host/tables.ts'
import type { DeviceStats, MachineStats } from './api.ts'

/** `vm`: its row in the VM table. `seconds`: time it has been running. */
export const machineStats = (
  memory: HostMemory,
  vm: number,
  vcpus: number,
  seconds: number,
  devices: DeviceStats,
): MachineStats => {
  const registers = Array.from(
    { length: vcpus },
    (_, index) => new VcpuRegisters(memory.buffer, vcpuBlock(memory.layout, index)),
  )
  const sum = (read: (vcpu: VcpuRegisters) => number): number =>
    registers.reduce((total, vcpu) => total + read(vcpu), 0)
  const { tables } = memory
  return {
    seconds,
    instructions: sum((vcpu) => vcpu.number(Vcpu.INSTRET)),
    exits: Object.fromEntries(
      vcpuStats.map((name) => [name, sum((vcpu) => vcpu.float(vcpuStatOffset(name)))]),
    ),
    guestFaults: tables.vmFloat(vm, VmFloat.GUEST_FAULTS),
    conversions: tables.vmFloat(vm, VmFloat.CONVERSIONS),
    remoteFlushes: tables.vmFloat(vm, VmFloat.REMOTE_FLUSHES),
    zapped: tables.vmFloat(vm, VmFloat.ZAPPED),
    devices,
  }
}
