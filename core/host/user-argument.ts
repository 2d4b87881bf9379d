// The third argument of ioctl(2): an integer, a user address, or the bytes of the structure themselves.

import { KernelError } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'

/**
 * A number is what the register holds: an integer, or an address in the process. Bytes stand for a structure at
 * a valid address; results are written into them.
 */
export type UserArgument = number | Uint8Array

/** copy_from_user: `size` bytes. Throws EFAULT. Bytes shorter than the structure end at an unmapped address. */
export function* copyFromUser(process: Process, argument: UserArgument, size: number): KernelTask<DataView> {
  if (typeof argument !== 'number') {
    if (argument.length < size) throw new KernelError('EFAULT')
    return new DataView(argument.buffer, argument.byteOffset, size)
  }
  const loaded = yield* process.load(hva(argument), size)
  if (!loaded.ok) throw new KernelError('EFAULT')
  return new DataView(loaded.value.buffer, loaded.value.byteOffset, size)
}

/** copy_to_user of what copyFromUser returned, changed in place. Throws EFAULT. */
export function* copyToUser(process: Process, argument: UserArgument, view: DataView): KernelTask<void> {
  if (typeof argument !== 'number') return
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  const stored = yield* process.store(hva(argument), bytes)
  if (!stored.ok) throw new KernelError('EFAULT')
}
