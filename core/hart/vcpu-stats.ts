// Per-vCPU counters in the vCPU block; names follow KVM's binary stats (arch/riscv/kvm/vcpu.c) where it has them.

import { Vcpu } from '../engine/vcpu-block.ts'

/** By index from Vcpu.STATS; each is an f64. */
export const vcpuStats = [
  'exits',
  'ecall_exit_stat',
  'wfi_exit_stat',
  'mmio_exit_user',
  'mmio_exit_kernel',
  'sbi_exit_user',
  'memory_fault_exits',
  'guest_page_faults',
  'signal_exits',
  'poll_exits',
  'halt_wakeup',
] as const

export type VcpuStatName = (typeof vcpuStats)[number]

const offsets = new Map<string, number>(vcpuStats.map((name, index) => [name, Vcpu.STATS + 8 * index]))

/** Byte offset in the vCPU block of a counter. */
export const vcpuStatOffset = (name: VcpuStatName): number => offsets.get(name) ?? Vcpu.STATS
