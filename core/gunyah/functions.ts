// VM functions: GUNYAH_VM_ADD_FUNCTION and REMOVE_FUNCTION (vm_mgr.c, gunyah_vcpu.c, v17). Of the three types the vCPU is
// here; the other two are modules that this kernel does not have.

import { KernelError } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { type FunctionDescription, FunctionType, MAX_FUNCTION_ARGUMENT, StructSize } from './uapi.ts'
import { GunyahVcpu } from './vcpu.ts'
import { GunyahVcpuFile } from './vcpu-file.ts'
import type { GunyahVm } from './vm.ts'

/** The result is a vCPU's descriptor. EINVAL, ENOENT (no such type), EFAULT, EEXIST, EMFILE, ENOMEM. */
export function* addFunction(
  vm: GunyahVm,
  process: Process,
  description: FunctionDescription,
): KernelTask<number> {
  if (description.argSize > MAX_FUNCTION_ARGUMENT) throw new KernelError('EINVAL')
  if (description.type !== FunctionType.VCPU) throw new KernelError('ENOENT')
  const id = yield* vcpuId(process, description)
  if (id === null) throw new KernelError('EINVAL')
  const present = vm.vcpus.get(id)
  if (present) throw new KernelError('EEXIST')
  process.fds.reserve()
  const vcpu = new GunyahVcpu(vm, id)
  vm.vcpus.set(id, vcpu)
  // A VM that has started has its resources already: one of this label is claimed at once.
  vm.claimVcpu(vcpu)
  return process.fds.install(new GunyahVcpuFile(vcpu), true)
}

/** ENOENT: no such function. The descriptor stays, and can run no more. */
export function* removeFunction(
  vm: GunyahVm,
  process: Process,
  description: FunctionDescription,
): KernelTask<number> {
  const id = yield* vcpuId(process, description)
  const vcpu = description.type === FunctionType.VCPU && id !== null ? vm.vcpus.get(id) : undefined
  if (!vcpu) throw new KernelError('ENOENT')
  vm.vcpus.delete(vcpu.id)
  vcpu.bound = false
  vcpu.hart?.signal()
  vcpu.put()
  return 0
}

/** struct gunyah_fn_vcpu_arg; null: the argument has another size. EFAULT. */
function* vcpuId(process: Process, { argSize, arg }: FunctionDescription): KernelTask<number | null> {
  if (argSize === 0) return null
  const loaded = yield* process.load(hva(arg), argSize)
  if (!loaded.ok) throw new KernelError('EFAULT')
  if (argSize !== StructSize.fn_vcpu_arg) return null
  return new DataView(loaded.value.buffer, loaded.value.byteOffset).getUint32(0, true)
}
