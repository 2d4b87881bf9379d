// Guest memory for the VMM's devices: loads and stores of the VMM process, with the faults they really take.

import { errnoName } from '../base/errno.ts'
import { hva, PAGE_SIZE } from '../base/units.ts'
import { type DeviceMemory, GuestMemoryFault } from '../devices/virtio/device-memory.ts'
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
    const { memory } = this.#vmm
    const result = yield* memory.reach<Access<T> | number>(gpa, access, (errno) => errno)
    if (typeof result === 'number') throw new GuestMemoryFault(gpa, 'private', errnoName(-result))
    if (result.ok) return result.value
    const error = `${result.signal} ${result.code}`
    if (result.code === 'BUS_MCEERR_AR') throw new GuestMemoryFault(gpa, 'poisoned', error)
    throw new GuestMemoryFault(gpa, memory.isPrivate(gpa) ? 'private' : 'unbacked', error)
  }
}
