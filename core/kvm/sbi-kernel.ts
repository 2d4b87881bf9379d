// SBI calls answered in the hypervisor worker: HSM, SRST, and the ones forwarded to the VMM (DBCN, COVG).
//
// As arch/riscv/kvm/vcpu_sbi*.c; COVG is project-own and checked here, then left to the VMM to decide.

import { U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import {
  SBI_A0,
  SBI_A1,
  SBI_EID,
  SBI_FID,
  SbiCovg,
  SbiDbcn,
  SbiError,
  SbiExtension,
  SbiForward,
  SbiSrst,
} from '../hart/sbi.ts'
import { sbiHsm } from '../hart/sbi-hsm.ts'
import { KvmSystemEvent } from './kvm-run.ts'
import { HypercallError, KVM_HC_MAP_GPA_RANGE, KVM_MAP_GPA_RANGE_ENCRYPTED } from './uapi.ts'
import type { KvmVcpu } from './vcpu.ts'
import type { Vm } from './vm.ts'

/** The call was answered, or KVM_RUN must return to the VMM. */
export type SbiOutcome = 'answered' | 'exit'

/** A guest's request to change a range, forwarded to the VMM; takes effect when the VMM answers success. */
export interface ConversionRequest {
  readonly share: boolean
  /** Bytes, page aligned. */
  readonly gpa: number
  readonly size: number
}

const answer = (vcpu: KvmVcpu, error: number, value = 0): SbiOutcome => {
  vcpu.registers.setX(SBI_A0, error)
  vcpu.registers.setX(SBI_A1, value)
  vcpu.registers.advancePc(4)
  return 'answered'
}

const hsm = (vcpu: KvmVcpu, fid: number): SbiOutcome => {
  const { hart, siblings, vm } = vcpu
  const isRam = (gpa: number): boolean => vm.slotOf(Math.floor(gpa / PAGE_SIZE)) !== null
  const { error, value } = sbiHsm(hart, fid, (id) => siblings.get(id)?.hart, isRam)
  return answer(vcpu, error, value)
}

const srst = (vcpu: KvmVcpu, fid: number): SbiOutcome => {
  const type = vcpu.registers.xLow(SBI_A0) >>> 0
  const reason = vcpu.registers.xLow(SBI_A1) >>> 0
  if (fid !== 0) return answer(vcpu, SbiError.NOT_SUPPORTED)
  if (type > SbiSrst.WARM_REBOOT) return answer(vcpu, SbiError.INVALID_PARAM)
  const event = type === SbiSrst.SHUTDOWN ? KvmSystemEvent.SHUTDOWN : KvmSystemEvent.RESET
  vcpu.run.setSystemEvent(event, reason)
  return 'exit'
}

/** Hands the call to the VMM; the answer is preset to NOT_SUPPORTED. */
const forward = (vcpu: KvmVcpu, request: ConversionRequest | null): SbiOutcome => {
  const { registers } = vcpu
  const args = [0, 1, 2, 3, 4, 5].map((i) => registers.x(SBI_A0 + i))
  vcpu.run.setSbi(registers.x(SBI_EID), registers.x(SBI_FID), args)
  vcpu.run.setSbiReturn(SbiError.NOT_SUPPORTED, 0)
  vcpu.pendingSbi(request)
  return 'exit'
}

const covg = (vcpu: KvmVcpu, fid: number): SbiOutcome => {
  if (fid !== SbiCovg.SHARE && fid !== SbiCovg.UNSHARE) return answer(vcpu, SbiError.NOT_SUPPORTED)
  const request = {
    share: fid === SbiCovg.SHARE,
    gpa: vcpu.registers.x(SBI_A0),
    size: vcpu.registers.x(SBI_A1),
  }
  const error = checkConversion(vcpu.vm, request)
  return error === SbiError.SUCCESS ? forward(vcpu, request) : answer(vcpu, error)
}

/** Checks what a guest asks for by COVG or doorbell. SUCCESS: the request makes sense, and the VMM decides. */
export const checkConversion = (vm: Vm, { share, gpa, size }: ConversionRequest): number => {
  if (gpa % PAGE_SIZE !== 0 || !Number.isSafeInteger(gpa + size)) return SbiError.INVALID_ADDRESS
  if (size === 0 || size % PAGE_SIZE !== 0) return SbiError.INVALID_PARAM
  const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
  if (!confidentialRam(vm, start, end)) return SbiError.INVALID_ADDRESS
  // The whole range must be in the other state now (COVG share and unshare, both in the same words).
  return vm.declared?.isUniform(start, end, share) ? SbiError.SUCCESS : SbiError.INVALID_PARAM
}

/**
 * KVM_HC_MAP_GPA_RANGE: checked here, then left to the VMM, which converts and answers (kvm_emulate_hypercall,
 * arch/x86/kvm/x86.c). A user-mode guest cannot get here: its ecall traps to its own kernel, so x86's first check, that
 * of the privilege, has nothing to refuse.
 */
const hypercall = (vcpu: KvmVcpu, number: number): SbiOutcome => {
  const { registers, vm } = vcpu
  if (number !== KVM_HC_MAP_GPA_RANGE || !(vm.hypercallExits & (1 << number)))
    return answer(vcpu, -HypercallError.ENOSYS)
  const [gpa, pages, attributes] = [0, 1, 2].map((i) => registers.x(SBI_A0 + i))
  const aligned = (registers.xLow(SBI_A0) & (PAGE_SIZE - 1)) === 0
  if (!aligned || pages === 0 || Math.floor(gpa / PAGE_SIZE) + pages >= 2 ** 64)
    return answer(vcpu, -HypercallError.EINVAL)
  vcpu.run.setHypercall(number, [gpa, pages, attributes])
  const share = (registers.xLow(SBI_A0 + 2) & KVM_MAP_GPA_RANGE_ENCRYPTED) === 0
  const size = Math.min(pages, U64_PAGES - gpa / PAGE_SIZE) * PAGE_SIZE
  vcpu.pendingHypercall({ share, gpa, size })
  return 'exit'
}

/** True when every gfn of [start, end) lies in a slot that has a guest_memfd. */
const confidentialRam = (vm: Vm, start: number, end: number): boolean => {
  let covered = 0
  for (const slot of vm.slots.within(start, end))
    if (slot.hasGmem) covered += Math.min(end, slot.endGfn) - Math.max(start, slot.baseGfn)
  return covered === end - start
}

/** The VMM answered success: the guest's declared state follows. */
export const applyConversion = (vm: Vm, { share, gpa, size }: ConversionRequest): void => {
  const [start, end] = [gpa / PAGE_SIZE, (gpa + size) / PAGE_SIZE]
  if (share) vm.declared?.completeShare(start, end)
  else vm.declared?.completeUnshare(start, end)
}

/** Serves the environment call a vCPU exited with. */
export const sbiInKernel = (vcpu: KvmVcpu): SbiOutcome => {
  const { registers } = vcpu
  const fid = registers.x(SBI_FID)
  const forwarded = registers.word(Vcpu.SBI_FORWARD)
  switch (registers.x(SBI_EID)) {
    case SbiExtension.HSM:
      return hsm(vcpu, fid)
    case SbiExtension.SRST:
      return srst(vcpu, fid)
    case SbiExtension.DBCN:
      if (!(forwarded & SbiForward.DBCN) || fid > SbiDbcn.WRITE_BYTE) break
      return forward(vcpu, null)
    case SbiExtension.COVG:
      if (!(forwarded & SbiForward.COVG)) break
      return covg(vcpu, fid)
    case SbiExtension.KVM_HYPERCALL:
      return hypercall(vcpu, fid)
  }
  return answer(vcpu, SbiError.NOT_SUPPORTED)
}
