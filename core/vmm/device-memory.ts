// Guest memory for the VMM's devices: loads and stores of the VMM process, with the faults they really take.

import { errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { type DeviceMemory, GuestMemoryFault, type Unreachable } from '../devices/virtio/device-memory.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Access } from '../host/process.ts'
import type { Vmm } from './vmm.ts'

/** A part of a range that lies in one page. */
interface Piece {
  readonly gpa: number
  /** Bytes from the start of the range. */
  readonly offset: number
  readonly count: number
}

const pieces = (gpa: number, length: number): Piece[] => {
  const found: Piece[] = []
  for (let offset = 0; offset < length; ) {
    const count = Math.min(length - offset, PAGE_SIZE - ((gpa + offset) % PAGE_SIZE))
    found.push({ gpa: gpa + offset, offset, count })
    offset += count
  }
  return found
}

export class VmmDeviceMemory implements DeviceMemory {
  readonly #vmm: Vmm

  constructor(vmm: Vmm) {
    this.#vmm = vmm
  }

  *read(gpa: number, length: number): KernelTask<Uint8Array> {
    this.#check(gpa, length)
    const { syscalls } = this.#vmm
    const bytes = new Uint8Array(length)
    for (const piece of pieces(gpa, length))
      bytes.set(
        yield* this.#reach(piece.gpa, (address) => syscalls.load(hva(address), piece.count)),
        piece.offset,
      )
    return bytes
  }

  *write(gpa: number, bytes: Uint8Array): KernelTask<void> {
    this.#check(gpa, bytes.length)
    const { syscalls } = this.#vmm
    for (const { gpa: at, offset, count } of pieces(gpa, bytes.length)) {
      const part = bytes.subarray(offset, offset + count)
      yield* this.#reach(at, (address) => syscalls.store(hva(address), part))
    }
  }

  *read16(gpa: number): KernelTask<number> {
    this.#check(gpa, 2)
    return yield* this.#reach(gpa, (address) => this.#vmm.syscalls.load16(hva(address)))
  }

  *write16(gpa: number, value: number): KernelTask<void> {
    this.#check(gpa, 2)
    yield* this.#reach(gpa, (address) => this.#vmm.syscalls.store16(hva(address), value))
  }

  #check(gpa: number, length: number): void {
    if (!this.#vmm.memory.contains(gpa, length)) throw new GuestMemoryFault(gpa, 'outside', 'EFAULT')
  }

  /** One access within a page, at the address where the VMM sees it. */
  *#reach<T>(gpa: number, access: (address: number) => KernelTask<Access<T>>): KernelTask<T> {
    const result = yield* this.#vmm.memory.reach<Access<T> | number>(gpa, access, (errno) => errno)
    if (typeof result !== 'number' && result.ok) return result.value
    const error = typeof result === 'number' ? errnoName(-result) : `${result.signal} ${result.code}`
    throw new GuestMemoryFault(gpa, this.#why(gpa), error)
  }

  /** What keeps the VMM from a page that it could not reach. */
  #why(gpa: number): Unreachable {
    const { isPrivate, poisoned } = this.#vmm.page(Math.floor(gpa / PAGE_SIZE))
    if (isPrivate) return 'private'
    return poisoned ? 'poisoned' : 'unbacked'
  }
}
