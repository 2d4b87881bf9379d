// What callers of the machine's API may pass. A page or a script may send any number: one that no address, size or
// count can be is refused with a message before a kernel path sees it. What remains is the kernel's to answer, by errno.

import { PAGE_SIZE } from '../base/units.ts'
import { MAX_VCPUS } from '../engine/vcpu-block.ts'
import { STAGE2_GFNS } from '../hart/stage2.ts'
import type { MachineConfig, TaskMode } from './api.ts'
import { hypervisorKinds, linuxVersions, reclaimPolicies, storeKinds } from './host-choice.ts'

/** End of the guest physical addresses: beyond it stage 2 has no entries. */
const GPA_END = STAGE2_GFNS * PAGE_SIZE

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** [gpa, gpa + size), in bytes, lies in the guest physical address space. Throws RangeError. */
export const checkGuestRange = (gpa: number, size: number): void => {
  if (!isCount(gpa) || gpa >= GPA_END)
    throw new RangeError(
      `${gpa} is no guest physical address: a whole number below 0x${GPA_END.toString(16)}`,
    )
  if (!isCount(size) || gpa + size > GPA_END)
    throw new RangeError(`${size} bytes do not fit the guest physical address space at 0x${gpa.toString(16)}`)
}

/** A number of frames, or null for none asked. Throws RangeError. */
export const checkFrames = (frames: number | null): void => {
  if (frames !== null && !isCount(frames)) throw new RangeError(`${frames} is no number of frames`)
}

/** Throws RangeError. */
export const checkTaskMode = (mode: TaskMode): void => {
  if (mode.kind === 'slow' && !(mode.stepMs >= 0 && mode.stepMs < Number.POSITIVE_INFINITY))
    throw new RangeError(`${mode.stepMs} ms is no time between two steps`)
}

/** Throws RangeError. */
export const checkConfig = ({ vcpus, hostBytes, ramBytes, host }: MachineConfig): void => {
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    throw new RangeError(`a machine has 1 to ${MAX_VCPUS} vCPUs, not ${vcpus}`)
  if (!isCount(ramBytes) || ramBytes === 0 || ramBytes % PAGE_SIZE !== 0)
    throw new RangeError(`guest RAM has whole pages of ${PAGE_SIZE} bytes: ${ramBytes} bytes are none`)
  if (!isCount(hostBytes)) throw new RangeError(`${hostBytes} bytes are no size of host memory`)
  if (!linuxVersions.includes(host.version)) throw new RangeError(`no Linux ${host.version} is known here`)
  if (!hypervisorKinds.includes(host.hypervisor))
    throw new RangeError(`no hypervisor is called ${host.hypervisor}`)
  if (!reclaimPolicies.includes(host.gunyahReclaim))
    throw new RangeError(`no reclaim policy is called ${host.gunyahReclaim}`)
  if (!storeKinds.includes(host.gmemStore)) throw new RangeError(`no folio store is called ${host.gmemStore}`)
  if (host.nodes !== 1 && host.nodes !== 2) throw new RangeError(`a host has 1 or 2 nodes, not ${host.nodes}`)
}
