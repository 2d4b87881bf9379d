// memextent_donate: frames change the extent they are in.
//
// All checks come first; what is refused has changed nothing. On the way to a guest a frame leaves the host's stage 2
// at once. On the way back it waits in `returning` until the guest's vCPUs have acknowledged a flush: only then is it
// zeroed and the host's again.

import type { Pfn } from '../../base/units.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { HypError } from './error.ts'
import type { GuestVm } from './guest-vm.ts'
import type { HostFrames } from './host-frames.ts'
import { DonateOption, type ExtentFrame, ExtentLabel, type Memextent, UNMAPPED } from './memextent.ts'

/** From and to which label each option moves frames; TO_SIBLING has two ways. */
const ways: readonly {
  readonly option: number
  readonly from: ExtentLabel
  readonly to: ExtentLabel
}[] = [
  { option: DonateOption.TO_PROTECTED, from: ExtentLabel.hostPrivate, to: ExtentLabel.guestPrivate },
  { option: DonateOption.FROM_PROTECTED, from: ExtentLabel.guestPrivate, to: ExtentLabel.hostPrivate },
  { option: DonateOption.TO_CHILD, from: ExtentLabel.hostPrivate, to: ExtentLabel.guestPrivate },
  { option: DonateOption.TO_PARENT, from: ExtentLabel.guestPrivate, to: ExtentLabel.hostPrivate },
  { option: DonateOption.TO_SIBLING, from: ExtentLabel.hostShared, to: ExtentLabel.guestShared },
  { option: DonateOption.TO_SIBLING, from: ExtentLabel.guestShared, to: ExtentLabel.hostShared },
]

/** Whether a donation would be granted; also makes the room that granting it needs. `option` without NOSYNC. */
export const checkDonate = (
  frames: HostFrames,
  option: number,
  from: Memextent,
  to: Memextent,
  pfn: Pfn,
  pages: number,
): HypError => {
  const known = ways.filter((way) => way.option === option)
  if (known.length === 0) return HypError.ARGUMENT_INVALID
  if (from.vmid !== to.vmid || !known.some((way) => way.from === from.label && way.to === to.label))
    return HypError.MEMEXTENT_TYPE
  for (let at: number = pfn; at < pfn + pages; at++) {
    const error = isGuestSide(to)
      ? checkLeave(frames, to, at as Pfn)
      : checkReturn(frames, from, at as Pfn, option === DonateOption.TO_PARENT)
    if (error !== HypError.OK) return error
  }
  if (isGuestSide(to) && to.isPrivate && !frames.split(pfn, pages)) return HypError.NOMEM
  return HypError.OK
}

const isGuestSide = (extent: Memextent): boolean =>
  extent.label === ExtentLabel.guestPrivate || extent.label === ExtentLabel.guestShared

const checkLeave = (frames: HostFrames, to: Memextent, pfn: Pfn): HypError => {
  if (!frames.isGivable(pfn)) return HypError.MEMDB_NOT_OWNER
  // What others share cannot become private to one; and it enters an extent once.
  const taken = to.isPrivate ? frames.isShared(pfn) : to.frames.has(pfn)
  return taken ? HypError.MEMDB_NOT_OWNER : HypError.OK
}

const checkReturn = (frames: HostFrames, from: Memextent, pfn: Pfn, donated: boolean): HypError => {
  const frame = from.frame(pfn)
  if (frame?.donated !== donated || frames.isLost(pfn)) return HypError.MEMDB_NOT_OWNER
  return frame.gfn === UNMAPPED ? HypError.OK : HypError.BUSY
}

/** Does what checkDonate granted. Frames on their way back are then in `vm.returning`. */
export const commitDonate = (
  frames: HostFrames,
  vm: GuestVm,
  option: number,
  from: Memextent,
  to: Memextent,
  pfn: Pfn,
  pages: number,
): void => {
  for (let i = 0; i < pages; i++) {
    const at = (pfn + i) as Pfn
    if (isGuestSide(to)) {
      if (to.isPrivate) frames.takeFromHost(at, to)
      else frames.countSharer(at, 1)
      to.frames.set(at, newFrame(option === DonateOption.TO_CHILD))
    } else {
      const frame = from.frame(at)
      if (frame) frame.returning = true
      vm.returning.push({ extent: from, pfn: at })
    }
  }
}

const newFrame = (donated: boolean): ExtentFrame => ({ gfn: UNMAPPED, access: 0, donated, returning: false })

/** Waits for the flush, then completes what was given back before. Under the address space's lock. */
export function* completeReturns(frames: HostFrames, vm: GuestVm): KernelTask<void> {
  const batch = vm.returning.splice(0)
  if (vm.space) yield* vm.space.flush()
  for (const { extent, pfn } of batch) {
    extent.frames.delete(pfn)
    if (extent.isPrivate) frames.giveToHost(pfn)
    else frames.countSharer(pfn, -1)
  }
}
