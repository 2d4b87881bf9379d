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

/** The size of a terminal, in characters. Throws RangeError. */
export const checkTerminal = (columns: number, rows: number): void => {
  const fits = (value: number): boolean => isCount(value) && value > 0 && value <= 0xffff
  if (!fits(columns) || !fits(rows)) throw new RangeError(`${columns} x ${rows} is no size of a terminal`)
}

/** What a balloon is to hold of `ramBytes` of guest RAM, in bytes. Throws RangeError. */
export const checkBalloon = (bytes: number, ramBytes: number): void => {
  if (!isCount(bytes) || bytes > ramBytes)
    throw new RangeError(`a balloon holds 0 to ${ramBytes} bytes, all of guest RAM: not ${bytes}`)
}

/** Throws RangeError. */
export const checkConfig = ({ vcpus, hostBytes, ramBytes, host, virtio }: MachineConfig): void => {
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
  if (virtio?.disk?.image.length === 0) throw new RangeError('the disk image is empty')
  if (host.nodes !== 1 && host.nodes !== 2) throw new RangeError(`a host has 1 or 2 nodes, not ${host.nodes}`)
}
