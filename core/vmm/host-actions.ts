// What a person can make the VMM process do to guest memory: each a real system call or access, with its real result.

import { errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { Falloc } from '../host/fallocate.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import type { Access } from '../host/process.ts'
import { Prot } from '../host/vma.ts'
import { Asker } from '../trace/events.ts'
import type { Vmm } from './vmm.ts'

/** A value, an errno, or a signal with its code. */
export type HostResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'errno'; readonly errno: string }
  | { readonly kind: 'signal'; readonly signal: string; readonly code: string }

const fromReturn = (value: number): HostResult<number> =>
  value < 0 ? { kind: 'errno', errno: errnoName(-value) } : { kind: 'ok', value }

const fromAccess = <T>(access: Access<T>): HostResult<T> =>
  access.ok
    ? { kind: 'ok', value: access.value }
    : { kind: 'signal', signal: access.signal, code: access.code }

const outsideRam = (vmm: Vmm, gpa: number, size: number): boolean =>
  vmm.offsetOf(gpa) < 0 || vmm.offsetOf(gpa) + size > vmm.options.ramBytes

/**
 * The address at which the VMM reaches the page the guest uses. A private page lies in the guest_memfd, so the
 * one way to it is to map the file, which the kernel refuses: that errno is the result.
 */
function* reach(vmm: Vmm, gpa: number, size: number): KernelTask<HostResult<number>> {
  if (outsideRam(vmm, gpa, size)) return { kind: 'signal', signal: 'SIGSEGV', code: 'SEGV_MAPERR' }
  if (!vmm.isPrivate(gpa)) return { kind: 'ok', value: vmm.hvaOf(gpa) }
  const page = Math.floor(vmm.offsetOf(gpa) / PAGE_SIZE) * PAGE_SIZE
  const mapped = yield* vmm.syscalls.mmap(PAGE_SIZE, Prot.READ | Prot.WRITE, MapFlag.SHARED, vmm.gmemFd, page)
  if (mapped < 0) return fromReturn(mapped)
  return { kind: 'ok', value: mapped + (gpa % PAGE_SIZE) }
}

/** Loads `length` bytes (within a page) of what the guest has at `gpa`. */
export function* hostRead(vmm: Vmm, gpa: number, length: number): KernelTask<HostResult<Uint8Array>> {
  const address = yield* reach(vmm, gpa, length)
  return address.kind === 'ok' ? fromAccess(yield* vmm.syscalls.load(hva(address.value), length)) : address
}

export function* hostWrite(vmm: Vmm, gpa: number, bytes: Uint8Array): KernelTask<HostResult<number>> {
  const address = yield* reach(vmm, gpa, bytes.length)
  return address.kind === 'ok' ? fromAccess(yield* vmm.syscalls.store(hva(address.value), bytes)) : address
}

/** KVM_SET_MEMORY_ATTRIBUTES without the guest's asking. */
export function* hostConvert(
  vmm: Vmm,
  gpa: number,
  size: number,
  toPrivate: boolean,
): KernelTask<HostResult<number>> {
  const conversion = vmm.setPrivate(gpa, size, toPrivate)
  return fromReturn(yield* vmm.traced(Asker.hostPanel, gpa, size, toPrivate, conversion))
}

export function* hostPunchHole(vmm: Vmm, gpa: number, size: number): KernelTask<HostResult<number>> {
  const mode = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE
  return fromReturn(yield* vmm.syscalls.fallocate(vmm.gmemFd, mode, vmm.offsetOf(gpa), size))
}

export function* hostAllocate(vmm: Vmm, gpa: number, size: number): KernelTask<HostResult<number>> {
  return fromReturn(yield* vmm.syscalls.fallocate(vmm.gmemFd, Falloc.KEEP_SIZE, vmm.offsetOf(gpa), size))
}
