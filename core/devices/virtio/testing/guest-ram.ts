// Guest memory for device tests: bytes at an address, with pages that cannot be reached.

import type { KernelTask } from '../../../host/kernel-task.ts'
import { type DeviceMemory, GuestMemoryFault } from '../device-memory.ts'

/** Where the tests' RAM begins (GPA), and its size in bytes. */
export const RAM = 0x80000000
export const RAM_BYTES = 0x10000
const PAGE = 4096

/** An access stops once, as one does that takes a fault. */
function* access<T>(perform: () => T): KernelTask<T> {
  yield { at: 'guest_ram/fault' }
  return perform()
}

export class GuestRam implements DeviceMemory {
  readonly bytes = new Uint8Array(RAM_BYTES)
  readonly view = new DataView(this.bytes.buffer)
  /** Pages (GPA) that are private. */
  readonly private = new Set<number>()
  /** Accesses so far. */
  accesses = 0

  read(gpa: number, length: number): KernelTask<Uint8Array> {
    return access(() => {
      const at = this.#check(gpa, length)
      return this.bytes.slice(at, at + length)
    })
  }

  write(gpa: number, bytes: Uint8Array): KernelTask<void> {
    return access(() => this.bytes.set(bytes, this.#check(gpa, bytes.length)))
  }

  read16(gpa: number): KernelTask<number> {
    return access(() => this.view.getUint16(this.#check(gpa, 2), true))
  }

  write16(gpa: number, value: number): KernelTask<void> {
    return access(() => this.view.setUint16(this.#check(gpa, 2), value, true))
  }

  #check(gpa: number, length: number): number {
    this.accesses++
    const at = gpa - RAM
    if (!(at >= 0 && at + length <= RAM_BYTES)) throw new GuestMemoryFault(gpa, 'outside', 'EFAULT')
    for (let page = gpa - (gpa % PAGE); page < gpa + length; page += PAGE)
      if (this.private.has(page)) throw new GuestMemoryFault(Math.max(page, gpa), 'private', 'ENODEV')
    return at
  }
}
