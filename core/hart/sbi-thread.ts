// SBI calls a vCPU thread answers itself, because they touch shared memory only: BASE, TIME, IPI, RFENCE.
//
// Everything else (HSM start and stop, SRST, DBCN, COVG) goes to the hypervisor worker (sbi-kernel.ts).

import { Vcpu } from '../engine/vcpu-block.ts'
import { requestAndWait, VcpuRequest, type VcpuWords } from './requests.ts'
import {
  SBI_A0,
  SBI_A1,
  SBI_EID,
  SBI_FID,
  SBI_SPEC_VERSION,
  SbiBase,
  SbiError,
  SbiExtension,
  SbiForward,
  SbiHsm,
  SbiRfence,
} from './sbi.ts'
import type { SbiReturn } from './sbi-hsm.ts'
import type { VcpuRegisters } from './vcpu-registers.ts'

const SSIP = 1 << 1

/** The extensions BASE probe finds; the forwarded ones only while their bit is set. */
const probed = new Map<number, number>([
  [SbiExtension.BASE, 0],
  [SbiExtension.TIME, 0],
  [SbiExtension.IPI, 0],
  [SbiExtension.RFENCE, 0],
  [SbiExtension.HSM, 0],
  [SbiExtension.SRST, 0],
  [SbiExtension.DBCN, SbiForward.DBCN],
  [SbiExtension.COVG, SbiForward.COVG],
  [SbiExtension.KVM_HYPERCALL, SbiForward.HYPERCALL],
])

/** Who implements SBI, as BASE tells the guest. */
export interface SbiImplementation {
  readonly id: number
  readonly version: number
}

export interface SbiThreadContext {
  readonly implementation: SbiImplementation
  readonly registers: VcpuRegisters
  /** All vCPUs of the machine, by hart id. */
  readonly vcpus: readonly VcpuWords[]
  /** Sleeps as WFI does. */
  readonly halt: () => void
}

const answer = (error: number, value = 0): SbiReturn => ({ error, value })

/** Harts a mask and base name (base -1: all); null when one does not exist. */
const selectHarts = (context: SbiThreadContext): VcpuWords[] | null => {
  const { registers, vcpus } = context
  if (registers.xLow(SBI_A1) === -1 && registers.xHigh(SBI_A1) === -1) return [...vcpus]
  const base = registers.x(SBI_A1)
  const selected: VcpuWords[] = []
  for (let bit = 0; bit < 64; bit++) {
    const half = bit < 32 ? registers.xLow(SBI_A0) : registers.xHigh(SBI_A0)
    if (((half >>> (bit & 31)) & 1) === 0) continue
    const target = vcpus[base + bit]
    if (!target) return null
    selected.push(target)
  }
  return selected
}

const base = (context: SbiThreadContext, fid: number): SbiReturn => {
  switch (fid) {
    case SbiBase.SPEC_VERSION:
      return answer(SbiError.SUCCESS, SBI_SPEC_VERSION)
    case SbiBase.IMPL_ID:
      return answer(SbiError.SUCCESS, context.implementation.id)
    case SbiBase.IMPL_VERSION:
      return answer(SbiError.SUCCESS, context.implementation.version)
    case SbiBase.PROBE: {
      const forwarded = probed.get(context.registers.x(SBI_A0))
      const found =
        forwarded !== undefined && (context.registers.word(Vcpu.SBI_FORWARD) & forwarded) === forwarded
      return answer(SbiError.SUCCESS, found ? 1 : 0)
    }
    case SbiBase.MVENDORID:
    case SbiBase.MARCHID:
    case SbiBase.MIMPID:
      return answer(SbiError.SUCCESS)
    default:
      return answer(SbiError.NOT_SUPPORTED)
  }
}

const setTimer = ({ registers }: SbiThreadContext, fid: number): SbiReturn => {
  if (fid !== 0) return answer(SbiError.NOT_SUPPORTED)
  registers.setPair(Vcpu.STIMECMP, registers.xLow(SBI_A0), registers.xHigh(SBI_A0))
  return answer(SbiError.SUCCESS)
}

const sendIpi = (context: SbiThreadContext, fid: number): SbiReturn => {
  if (fid !== 0) return answer(SbiError.NOT_SUPPORTED)
  const targets = selectHarts(context)
  if (!targets) return answer(SbiError.INVALID_PARAM)
  for (const target of targets) target.setPending(SSIP, true)
  return answer(SbiError.SUCCESS)
}

/** Remote fences: the whole TLB is dropped whatever range is asked, which the specification allows. */
const remoteFence = (context: SbiThreadContext, fid: number): SbiReturn => {
  if (fid > SbiRfence.SFENCE_VMA_ASID) return answer(SbiError.NOT_SUPPORTED)
  const targets = selectHarts(context)
  if (!targets) return answer(SbiError.INVALID_PARAM)
  requestAndWait(targets, fid === SbiRfence.FENCE_I ? VcpuRequest.FENCE_I : VcpuRequest.TLB_FLUSH)
  return answer(SbiError.SUCCESS)
}

/** Only the retentive suspend, which may do no more than WFI; the other calls of HSM are not the thread's. */
const suspend = (context: SbiThreadContext, fid: number): SbiReturn | null => {
  if (fid !== SbiHsm.SUSPEND) return null
  if (context.registers.x(SBI_A0) !== 0) return answer(SbiError.NOT_SUPPORTED)
  context.halt()
  return answer(SbiError.SUCCESS)
}

const extensions = new Map<number, (context: SbiThreadContext, fid: number) => SbiReturn | null>([
  [SbiExtension.BASE, base],
  [SbiExtension.TIME, setTimer],
  [SbiExtension.IPI, sendIpi],
  [SbiExtension.RFENCE, remoteFence],
  [SbiExtension.HSM, suspend],
])

/** Answers the call in a0 and a1 and returns true, or returns false when it is not one of these extensions. */
export const sbiInThread = (context: SbiThreadContext): boolean => {
  const { registers } = context
  const result = extensions.get(registers.x(SBI_EID))?.(context, registers.x(SBI_FID))
  if (!result) return false
  registers.setX(SBI_A0, result.error)
  registers.setX(SBI_A1, result.value)
  return true
}
