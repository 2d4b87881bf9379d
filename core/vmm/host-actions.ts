// What a person can make the VMM process do to guest memory: each a real system call or access, with its real result.

import { Errno, errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE, type Pfn } from '../base/units.ts'
import { DevMem } from '../host/dev-mem.ts'
import { Falloc } from '../host/fallocate.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { MapFlag } from '../host/mmap.ts'
import type { Access } from '../host/process.ts'
import { Prot } from '../host/vma.ts'
import { Asker } from '../trace/events.ts'
import type { Vmm } from './vmm.ts'

/** A value, an errno (and the page it is about, where the kernel says), or a signal with its code. */
export type HostResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'errno'; readonly errno: string; readonly gpa?: number }
  | { readonly kind: 'signal'; readonly signal: string; readonly code: string }

type Failure = Extract<HostResult<never>, { readonly kind: 'errno' }>

const OUTSIDE: HostResult<never> = { kind: 'signal', signal: 'SIGSEGV', code: 'SEGV_MAPERR' }

/** A system call's negative result. */
const failed = (errno: number): Failure => ({ kind: 'errno', errno: errnoName(-errno) })

const fromReturn = (value: number): HostResult<number> => (value < 0 ? failed(value) : { kind: 'ok', value })

const fromAccess = <T>(access: Access<T>): HostResult<T> =>
  access.ok
    ? { kind: 'ok', value: access.value }
    : { kind: 'signal', signal: access.signal, code: access.code }

/** Loads `length` bytes (within a page) of what the guest has at `gpa`. */
export function* hostRead(vmm: Vmm, gpa: number, length: number): KernelTask<HostResult<Uint8Array>> {
  if (!vmm.memory.contains(gpa, length)) return OUTSIDE
  const load = function* (address: number): KernelTask<HostResult<Uint8Array>> {
    return fromAccess(yield* vmm.syscalls.load(hva(address), length))
  }
  return yield* vmm.memory.reach(gpa, load, failed)
}

export function* hostWrite(vmm: Vmm, gpa: number, bytes: Uint8Array): KernelTask<HostResult<number>> {
  if (!vmm.memory.contains(gpa, bytes.length)) return OUTSIDE
  const store = function* (address: number): KernelTask<HostResult<number>> {
    return fromAccess(yield* vmm.syscalls.store(hva(address), bytes))
  }
  return yield* vmm.memory.reach(gpa, store, failed)
}

/** Converts without the guest's asking, once. */
export function* hostConvert(
  vmm: Vmm,
  gpa: number,
  size: number,
  toPrivate: boolean,
): KernelTask<HostResult<number>> {
  const { result, ...where } = yield* vmm.convert(Asker.hostPanel, gpa, size, toPrivate)
  return result < 0 ? { ...failed(result), ...where } : { kind: 'ok', value: result }
}

/** Punches the file; a vCPU that waits for the page tries again. */
export function* hostPunchHole(vmm: Vmm, gpa: number, size: number): KernelTask<HostResult<number>> {
  const result = yield* vmm.memory.punch(gpa, size)
  if (result === 0) vmm.remedies++
  return fromReturn(result)
}

export function* hostAllocate(vmm: Vmm, gpa: number, size: number): KernelTask<HostResult<number>> {
  const { gmemFd } = vmm.memory
  return fromReturn(yield* vmm.syscalls.fallocate(gmemFd, Falloc.KEEP_SIZE, vmm.memory.offsetOf(gpa), size))
}

/** Loads bytes of a frame through /dev/mem: what a privileged process can read of the host's memory. */
export function* readPhysical(
  vmm: Vmm,
  pfn: Pfn,
  offset: number,
  length: number,
): KernelTask<HostResult<Uint8Array>> {
  const { process, syscalls } = vmm
  const fd = DevMem.open(process)
  const address = yield* syscalls.mmap(PAGE_SIZE, Prot.READ, MapFlag.SHARED, fd, pfn * PAGE_SIZE)
  if (address < 0) return failed(address)
  const loaded = yield* syscalls.load(hva(address + offset), length)
  yield* syscalls.munmap(address, PAGE_SIZE)
  yield* syscalls.close(fd)
  return fromAccess(loaded)
}

const pageOf = (gpa: number): number => Math.floor(gpa / PAGE_SIZE) * PAGE_SIZE

/** Takes a reference to the page that lasts until hostUnpin, as I/O under way does. The frame's pfn. */
export function* hostPin(vmm: Vmm, gpa: number): KernelTask<HostResult<number>> {
  const page = pageOf(gpa)
  if (!vmm.memory.contains(page, PAGE_SIZE)) return failed(-Errno.EFAULT)
  const pin = function* (address: number): KernelTask<HostResult<number>> {
    const result = yield* vmm.pins.pin(page, address)
    if (result < 0) return failed(result)
    const value = vmm.process.mappedFrame(address)?.pfn ?? -1
    vmm.process.host.trace('gmemscope_pin', page, value, 1)
    return { kind: 'ok', value }
  }
  return yield* vmm.memory.reach(page, pin, failed)
}

/** Drops what hostPin took. ENOENT: nothing. */
export function* hostUnpin(vmm: Vmm, gpa: number): KernelTask<HostResult<number>> {
  const result = yield* vmm.pins.unpin(pageOf(gpa))
  if (result === 0) {
    vmm.remedies++
    vmm.process.host.trace('gmemscope_pin', pageOf(gpa), 0, 0)
  }
  return fromReturn(result)
}
