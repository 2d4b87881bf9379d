// The VM descriptor and its ioctls (gunyah_vm_ioctl, vm_mgr.c, v17).

import { KernelError } from '../base/errno.ts'
import { pageOfSum, U64_PAGES } from '../base/u64.ts'
import { AnonInodeFile } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { copyFromUser, type UserArgument } from '../host/user-argument.ts'
import { addFunction, removeFunction } from './functions.ts'
import { mapMem } from './map-mem.ts'
import { VmState } from './rm/message-ids.ts'
import { ensureStarted } from './start.ts'
import {
  type BootContext,
  BootRegister,
  Gunyah,
  readBootContext,
  readDtbConfig,
  readFunctionDescription,
  readMapMemArgs,
  StructSize,
} from './uapi.ts'
import type { GunyahVm } from './vm.ts'

export class GunyahVmFile extends AnonInodeFile {
  readonly vm: GunyahVm

  constructor(vm: GunyahVm) {
    super('gunyah-vm')
    this.vm = vm
  }

  protected override *release(): KernelTask<void> {
    yield* this.vm.put()
  }

  override *ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    const { vm } = this
    switch (number) {
      case Gunyah.VM_SET_DTB_CONFIG: {
        const config = readDtbConfig(yield* copyFromUser(process, argument, StructSize.vm_dtb_config))
        if (pageOfSum(config.gpa, config.size) >= U64_PAGES) throw new KernelError('EOVERFLOW')
        vm.dtb = config
        return 0
      }
      case Gunyah.VM_START:
        yield* ensureStarted(vm)
        return 0
      case Gunyah.VM_ADD_FUNCTION: {
        const view = yield* copyFromUser(process, argument, StructSize.fn_desc)
        return yield* addFunction(vm, process, readFunctionDescription(view))
      }
      case Gunyah.VM_REMOVE_FUNCTION: {
        const view = yield* copyFromUser(process, argument, StructSize.fn_desc)
        return yield* removeFunction(vm, process, readFunctionDescription(view))
      }
      case Gunyah.VM_MAP_MEM: {
        const view = yield* copyFromUser(process, argument, StructSize.map_mem_args)
        yield* mapMem(vm, process, readMapMemArgs(view))
        return 0
      }
      case Gunyah.VM_SET_BOOT_CONTEXT: {
        const view = yield* copyFromUser(process, argument, StructSize.vm_boot_context)
        yield* this.#setBootContext(readBootContext(view))
        return 0
      }
      default:
        throw new KernelError('ENOTTY')
    }
  }

  /** gunyah_vm_set_boot_context. EINVAL: no such register, or the VM has been started. */
  *#setBootContext({ register, low, high }: BootContext): KernelTask<void> {
    if (!isBootRegister(register)) throw new KernelError('EINVAL')
    const { vm } = this
    yield* vm.statusLock.readLock()
    const early = vm.status === VmState.NO_STATE
    if (early) vm.bootContext.set(register, [low, high])
    vm.statusLock.readUnlock()
    if (!early) throw new KernelError('EINVAL')
  }
}

/** Which registers there are is this machine's: docs/gunyah-riscv.md. */
const isBootRegister = (register: number): boolean => {
  const index = register & 0xff
  switch (register >>> 8) {
    case BootRegister.X:
      return index >= 1 && index <= 31
    case BootRegister.PC:
    case BootRegister.SP:
      return index === 0
    default:
      return false
  }
}
