// SBI calls that Gunyah answers outside the vCPU's thread: HSM, SRST and COVG (docs/gunyah-riscv.md).

import { PAGE_SIZE } from '../base/units.ts'
import type { Hart } from '../hart/hart.ts'
import { SBI_A0, SBI_A1, SBI_EID, SBI_FID, SbiCovg, SbiError, SbiExtension, SbiSrst } from '../hart/sbi.ts'
import { sbiHsm } from '../hart/sbi-hsm.ts'
import type { GfnRange } from './shared-parcels.ts'
import type { GunyahVm } from './vm.ts'

/** Why a VM ended (enum gunyah_rm_vm_exit_type; PSCI's names, for which SRST stands here). */
export const ExitType = { VM_EXIT: 0, POWER_OFF: 1, SYSTEM_RESET: 2, SYSTEM_RESET2: 3, HYP_ERROR: 5 } as const

/** What the guest asks the host for. */
export interface ConversionRequest extends GfnRange {
  readonly share: boolean
}

/** A call was answered, the VM ended, or the VMM must say whether the request is allowed. */
export type SbiOutcome =
  | { readonly kind: 'answered' }
  | { readonly kind: 'ended'; readonly type: number; readonly reason: number }
  | { readonly kind: 'request'; readonly request: ConversionRequest }

const ANSWERED: SbiOutcome = { kind: 'answered' }

/** Puts an answer into a0 and a1 and moves past the call. */
export const answerSbi = ({ registers }: Hart, error: number, value = 0): SbiOutcome => {
  registers.setX(SBI_A0, error)
  registers.setX(SBI_A1, value)
  registers.advancePc(4)
  return ANSWERED
}

/** Serves the environment call that a hart exited with. */
export const sbiInHypervisor = (vm: GunyahVm, hart: Hart): SbiOutcome => {
  const { registers } = hart
  const fid = registers.x(SBI_FID)
  switch (registers.x(SBI_EID)) {
    case SbiExtension.HSM: {
      const hartOf = (id: number): Hart | undefined => vm.vcpus.get(id)?.hart ?? undefined
      const isRam = (gpa: number): boolean => vm.bindings.get(Math.floor(gpa / PAGE_SIZE)) !== undefined
      const { error, value } = sbiHsm(hart, fid, hartOf, isRam)
      return answerSbi(hart, error, value)
    }
    case SbiExtension.SRST:
      return reset(hart, fid)
    case SbiExtension.COVG:
      if (fid === SbiCovg.SHARE || fid === SbiCovg.UNSHARE) return convert(vm, hart, fid === SbiCovg.SHARE)
  }
  return answerSbi(hart, SbiError.NOT_SUPPORTED)
}

const reset = (hart: Hart, fid: number): SbiOutcome => {
  const type = hart.registers.xLow(SBI_A0) >>> 0
  const reason = hart.registers.xLow(SBI_A1) >>> 0
  if (fid !== 0) return answerSbi(hart, SbiError.NOT_SUPPORTED)
  switch (type) {
    case SbiSrst.SHUTDOWN:
      return { kind: 'ended', type: ExitType.POWER_OFF, reason }
    case SbiSrst.COLD_REBOOT:
      return { kind: 'ended', type: ExitType.SYSTEM_RESET, reason }
    case SbiSrst.WARM_REBOOT:
      return { kind: 'ended', type: ExitType.SYSTEM_RESET2, reason }
    default:
      return answerSbi(hart, SbiError.INVALID_PARAM)
  }
}

/** The same checks in the same order as KVM's software-protected VM makes. */
const convert = (vm: GunyahVm, hart: Hart, share: boolean): SbiOutcome => {
  const gpa = hart.registers.x(SBI_A0)
  const size = hart.registers.x(SBI_A1)
  if (gpa % PAGE_SIZE !== 0 || !Number.isSafeInteger(gpa + size))
    return answerSbi(hart, SbiError.INVALID_ADDRESS)
  if (size === 0 || size % PAGE_SIZE !== 0) return answerSbi(hart, SbiError.INVALID_PARAM)
  const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
  let bound = 0
  let fixed = false
  vm.bindings.forRange(start, end, (binding, from, to) => {
    bound += to - from
    fixed ||= !binding.convertible
  })
  if (bound !== end - start) return answerSbi(hart, SbiError.INVALID_ADDRESS)
  if (fixed) return answerSbi(hart, SbiError.DENIED)
  if (!vm.isUniform(start, end, share)) return answerSbi(hart, SbiError.INVALID_PARAM)
  return { kind: 'request', request: { share, start, end } }
}
