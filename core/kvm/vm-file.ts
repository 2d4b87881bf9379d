// The VM descriptor: the gate in front of its ioctls, and their decoding (kvm_vm_ioctl, v7.2).

import { Errno, KernelError } from '../base/errno.ts'
import { AnonInodeFile } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { copyFromUser, copyToUser, type UserArgument } from '../host/user-argument.ts'
import { setMemoryAttributes } from './attributes.ts'
import { checkExtension } from './capabilities.ts'
import { clearDirtyLog, getDirtyLog } from './dirty-log.ts'
import { enableCap } from './enable-cap.ts'
import { createGmem } from './gmem.ts'
import { setUserMemoryRegion } from './memslots.ts'
import { populateGmem } from './populate.ts'
import {
  CREATE_GUEST_MEMFD_SIZE,
  GMEM_POPULATE_SIZE,
  Kvm,
  MEMORY_ATTRIBUTES_SIZE,
  MEMORY_REGION_SIZE,
  MEMORY_REGION2_SIZE,
  readCreateGuestMemfd,
  readGmemPopulate,
  readMemoryAttributes,
  readMemoryRegion,
  writeGmemPopulate,
} from './uapi.ts'
import {
  CLEAR_DIRTY_LOG_SIZE,
  DIRTY_LOG_SIZE,
  ENABLE_CAP_SIZE,
  readClearDirtyLog,
  readDirtyLog,
  readEnableCap,
} from './uapi-structs.ts'
import type { Vm } from './vm.ts'

export class VmFile extends AnonInodeFile {
  readonly vm: Vm

  constructor(vm: Vm) {
    super('kvm-vm')
    this.vm = vm
  }

  protected override *release(): KernelTask<void> {
    yield* this.vm.put()
  }

  override *ioctl(process: Process, number: number, argument: UserArgument): KernelTask<number> {
    const vm = this.vm
    if (process !== vm.process) throw new KernelError('EIO')
    switch (number) {
      case Kvm.CREATE_VCPU:
        return yield* this.#createVcpu(process, integer(argument))
      case Kvm.CHECK_EXTENSION:
        return checkExtension(vm.profile, vm, integer(argument))
      case Kvm.SET_USER_MEMORY_REGION: {
        const view = yield* copyFromUser(process, argument, MEMORY_REGION_SIZE)
        return yield* setUserMemoryRegion(vm, process, readMemoryRegion(view, false), false)
      }
      case Kvm.SET_USER_MEMORY_REGION2: {
        const view = yield* copyFromUser(process, argument, MEMORY_REGION2_SIZE)
        return yield* setUserMemoryRegion(vm, process, readMemoryRegion(view, true), true)
      }
      case Kvm.GET_DIRTY_LOG: {
        const view = yield* copyFromUser(process, argument, DIRTY_LOG_SIZE)
        return yield* getDirtyLog(vm, process, readDirtyLog(view))
      }
      case Kvm.CLEAR_DIRTY_LOG: {
        const view = yield* copyFromUser(process, argument, CLEAR_DIRTY_LOG_SIZE)
        return yield* clearDirtyLog(vm, process, readClearDirtyLog(view))
      }
      case Kvm.ENABLE_CAP: {
        const view = yield* copyFromUser(process, argument, ENABLE_CAP_SIZE)
        return enableCap(vm, readEnableCap(view))
      }
      case Kvm.SET_MEMORY_ATTRIBUTES: {
        if (!vm.profile.memoryAttributes) throw new KernelError(vm.profile.unknownVmIoctl)
        const view = yield* copyFromUser(process, argument, MEMORY_ATTRIBUTES_SIZE)
        return yield* setMemoryAttributes(vm, readMemoryAttributes(view))
      }
      case Kvm.CREATE_GUEST_MEMFD: {
        const view = yield* copyFromUser(process, argument, CREATE_GUEST_MEMFD_SIZE)
        return createGmem(vm, process, readCreateGuestMemfd(view))
      }
      case Kvm.GMEM_POPULATE: {
        if (!vm.profile.populate) throw new KernelError(vm.profile.unknownVmIoctl)
        const view = yield* copyFromUser(process, argument, GMEM_POPULATE_SIZE)
        const { left, errno } = yield* populateGmem(vm, process, readGmemPopulate(view))
        writeGmemPopulate(view, left)
        yield* copyToUser(process, argument, view)
        return errno ? -Errno[errno] : 0
      }
      default:
        throw new KernelError(vm.profile.unknownVmIoctl)
    }
  }

  /** KVM_CREATE_VCPU: EINVAL for the id, EEXIST, then what the maker says. */
  *#createVcpu(process: Process, id: number): KernelTask<number> {
    const vm = this.vm
    if (id < 0 || id >= vm.profile.maxVcpus) throw new KernelError('EINVAL')
    if (vm.vcpuIds.size >= vm.profile.maxVcpus) throw new KernelError('EINVAL')
    if (vm.vcpuIds.has(id)) throw new KernelError('EEXIST')
    process.fds.reserve()
    vm.vcpuIds.add(id)
    try {
      const file = yield* vm.hooks.createVcpu(vm, id)
      try {
        return process.fds.install(file, true)
      } catch (error) {
        yield* file.put()
        throw error
      }
    } catch (error) {
      vm.vcpuIds.delete(id)
      throw error
    }
  }
}

/** An ioctl whose argument is the integer itself. */
const integer = (argument: UserArgument): number => (typeof argument === 'number' ? argument : 0)
