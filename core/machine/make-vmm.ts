// The host's hypervisor and a VMM for it, as the machine was configured.

import { GunyahSystem } from '../gunyah/system.ts'
import type { Host } from '../host/host.ts'
import { Process } from '../host/process.ts'
import { hostProfile } from '../kvm/profiles.ts'
import { KvmSystem } from '../kvm/system.ts'
import { VcpuMaker } from '../kvm/vcpu-file.ts'
import { GunyahVmm } from '../vmm/gunyah-vmm.ts'
import { KvmVmm } from '../vmm/kvm-vmm.ts'
import type { Vmm, VmmOptions } from '../vmm/vmm.ts'
import type { HostChoice } from './host-choice.ts'

/** Throws KernelError when the host has no memory for its hypervisor. */
export const makeVmm = (host: Host, choice: HostChoice, options: VmmOptions): Vmm => {
  const profile = hostProfile('riscv', choice.version)
  const process = new Process(host, profile.userAddressBits)
  // What reads /dev/mem, as a person at the host's console can.
  process.privileged = true
  if (choice.hypervisor === 'gunyah')
    return new GunyahVmm(
      process,
      new GunyahSystem(host, { ...choice, reclaim: choice.gunyahReclaim, directMapPages: true }),
      options,
    )
  const system = new KvmSystem(host, profile, new VcpuMaker(options.now), { parameters: choice })
  return new KvmVmm(process, system, options)
}

/** The host's name, as `riscv-7.2`. */
export const hostName = ({ hypervisor, version }: HostChoice): string =>
  hypervisor === 'gunyah' ? 'gunyah-v17' : hostProfile('riscv', version).name
