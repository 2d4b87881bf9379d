// SBI hart state management (HSM): start, stop and status of a VM's harts. Suspend is the vCPU thread's (sbi-thread.ts).

import type { Hart } from './hart.ts'
import { MpState } from './mp-state.ts'
import { SBI_A0, SBI_A1, SbiError, SbiHsm, SbiHsmState } from './sbi.ts'

/** What an SBI call answers: a0 and a1. */
export interface SbiReturn {
  readonly error: number
  readonly value: number
}

const result = (error: number, value = 0): SbiReturn => ({ error, value })

/**
 * Serves the HSM call that a hart exited with. `hartOf`: the VM's hart by id. `isRam`: an address at which a hart may
 * start.
 */
export const sbiHsm = (
  hart: Hart,
  fid: number,
  hartOf: (id: number) => Hart | undefined,
  isRam: (gpa: number) => boolean,
): SbiReturn => {
  const { registers } = hart
  if (fid === SbiHsm.STOP) {
    hart.mpState = MpState.STOPPED
    return result(SbiError.SUCCESS)
  }
  const target = hartOf(registers.x(SBI_A0))
  if (!target) return result(SbiError.INVALID_PARAM)
  if (fid === SbiHsm.STATUS) {
    const stopped = target.mpState === MpState.STOPPED
    return result(SbiError.SUCCESS, stopped ? SbiHsmState.STOPPED : SbiHsmState.STARTED)
  }
  if (fid !== SbiHsm.START) return result(SbiError.NOT_SUPPORTED)
  if (target.mpState !== MpState.STOPPED) return result(SbiError.ALREADY_AVAILABLE)
  const pc = registers.x(SBI_A1)
  if (!isRam(pc)) return result(SbiError.INVALID_ADDRESS)
  target.start(pc, registers.xLow(SBI_A1 + 1), registers.xHigh(SBI_A1 + 1))
  return result(SbiError.SUCCESS)
}
