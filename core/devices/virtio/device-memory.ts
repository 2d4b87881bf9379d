// Guest memory as a device reaches it: by the VMM process's own loads and stores, which can fail.

import type { KernelTask } from '../../host/kernel-task.ts'

/** Why a driver's device stopped: what the driver gave it breaks the rules. */
export class DriverFault extends Error {}

/**
 * Why guest memory cannot be reached. outside: the address is no RAM. private: the page is the guest's alone.
 * poisoned: it has a memory error. unbacked: the host gave no frame for it.
 */
export type Unreachable = 'outside' | 'private' | 'poisoned' | 'unbacked'

/** An address that the driver gave cannot be reached. */
export class GuestMemoryFault extends DriverFault {
  readonly gpa: number
  readonly why: Unreachable
  /** The error that the VMM's access really got: an errno's name, or a signal and its code. */
  readonly error: string

  constructor(gpa: number, why: Unreachable, error: string) {
    super(`guest memory at 0x${gpa.toString(16)} is ${why} (${error})`)
    this.gpa = gpa
    this.why = why
    this.error = error
  }
}

/** Every call throws GuestMemoryFault, naming the first page that could not be reached. */
export interface DeviceMemory {
  read(gpa: number, length: number): KernelTask<Uint8Array>
  write(gpa: number, bytes: Uint8Array): KernelTask<void>
  /** An aligned 16-bit word, never torn; later accesses come after it. */
  read16(gpa: number): KernelTask<number>
  /** An aligned 16-bit word, never torn; earlier accesses come before it. */
  write16(gpa: number, value: number): KernelTask<void>
}
