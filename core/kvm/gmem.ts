// KVM's side of guest_memfd: creating a file, binding a memslot to it, unmapping what it loses (guest_memfd.c).

import { KernelError } from '../base/errno.ts'
import { hasUnknownBits, isPageAligned, S64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import type { PageState } from '../gmem/attributes.ts'
import { GmemFile } from '../gmem/file.ts'
import { GmemFlag, GmemInode } from '../gmem/inode.ts'
import { BOTH_KINDS, type GmemFilter, type GmemOperations, type Invalidation } from '../gmem/operations.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { VmFloat } from '../host/tables.ts'
import type { UserArgument } from '../host/user-argument.ts'
import { gmemIoctl } from './gmem-file.ts'
import type { Memslot } from './memslot.ts'
import { hideStates, showStates } from './page-states.ts'
import type { HostProfile } from './profiles.ts'
import { type CreateGuestMemfd, KVM_MEMORY_ATTRIBUTE_PRIVATE } from './uapi.ts'
import type { Vm } from './vm.ts'

const UNMAP: Step = { at: 'kvm_gmem_invalidate_begin/unmap' }

/** Create flags the VM accepts (null: what KVM_CHECK_EXTENSION on /dev/kvm reports). */
export const supportedGmemFlags = (profile: HostProfile, vm: Vm | null): number => {
  if (!profile.gmemFlags) return 0
  const initShared = !vm?.hasPrivateMemory || profile.initSharedWithPrivateMemory
  return GmemFlag.MMAP | (initShared ? GmemFlag.INIT_SHARED : 0)
}

/** Slots of the VM may have a guest_memfd (KVM_CAP_GUEST_MEMFD; null: of some VM). */
export const gmemSlotsAllowed = (profile: HostProfile, vm: Vm | null): boolean =>
  !profile.gmemNeedsPrivateMemory || !vm || vm.hasPrivateMemory

/** KVM_CREATE_GUEST_MEMFD: a descriptor. EINVAL (flags, then size), EMFILE. */
export const createGmem = (vm: Vm, process: Process, request: CreateGuestMemfd): number => {
  if (hasUnknownBits(request.flags, supportedGmemFlags(vm.profile, vm))) throw new KernelError('EINVAL')
  // The kernel reads the size as signed.
  if (request.size === 0 || request.size >= 2 ** 63 || !isPageAligned(request.size))
    throw new KernelError('EINVAL')
  process.fds.reserve()
  const { gmemFileSystem, gmemName, gmemPolicy, interleaveByInode, inPlaceConversion } = vm.profile
  const inode = new GmemInode(vm.host, request.size, request.flags, {
    vmRow: vm.row,
    fileSystem: gmemFileSystem,
    name: gmemName,
    store: vm.parameters.gmemStore,
    largeFolios: vm.parameters.gmemLargeFolios,
    inPlace: inPlaceConversion,
    numa: { task: vm.process, policyOfFile: gmemPolicy, interleaveByInode },
  })
  vm.get()
  return process.fds.install(new GmemFile<Memslot>(inode, vm.gmemOperations), false)
}

/**
 * kvm_gmem_bind: the file that a new slot's guest_memfd names, checked. EBADF, EINVAL. The caller puts it.
 * The range is bound by `bindSlot`.
 */
export const gmemForSlot = (
  vm: Vm,
  process: Process,
  fd: number,
  offset: number,
  pages: number,
): GmemFile<Memslot> => {
  const file = process.fds.get(fd)
  if (!(file instanceof GmemFile) || file.operations !== vm.gmemOperations) throw new KernelError('EINVAL')
  const start = offset / PAGE_SIZE
  const end = start + pages
  if (start >= S64_PAGES) throw new KernelError('EINVAL')
  const wraps = vm.profile.signedBindSum && end >= S64_PAGES
  if (end > file.inode.pages && !wraps) throw new KernelError('EINVAL')
  return file.get() as GmemFile<Memslot>
}

/** Binds the slot's file pages. Throws what the profile answers when some are bound already. */
export function* bindSlot(vm: Vm, slot: Memslot): KernelTask<void> {
  const { gmem, fileIndex, pages } = slot
  if (!gmem) return
  if (!(yield* gmem.bind(fileIndex, fileIndex + pages, slot)))
    throw new KernelError(vm.profile.overlappingBind)
  vm.host.trace('kvm_gmem_bind', slot.file, slot.id, fileIndex, pages, slot.baseGfn)
}

/** kvm_gmem_unbind, under slots_lock: nothing to do when the file is gone. */
export function* unbindSlot(vm: Vm, slot: Memslot): KernelTask<void> {
  const gmem = slot.gmem
  if (!gmem) return
  yield* gmem.unbind(slot.fileIndex, slot.fileIndex + slot.pages)
  vm.host.trace('kvm_gmem_unbind', slot.file, slot.id, slot.fileIndex, slot.pages)
  slot.gmem = null
  hideStates(vm, slot)
}

export class KvmGmem implements GmemOperations<Memslot> {
  readonly #vm: Vm

  constructor(vm: Vm) {
    this.#vm = vm
  }

  *invalidateBegin(
    view: GmemFile<Memslot>,
    start: number,
    end: number,
    filter: GmemFilter,
  ): KernelTask<Invalidation> {
    const vm = this.#vm
    const slots = boundSlots(view, start, end)
    if (slots.length === 0) return { zapped: 0 }
    yield* vm.mmuLock.lock()
    vm.invalidate.begin()
    for (const slot of slots) vm.invalidate.rangeAdd(...gfns(slot, start, end))
    if (vm.host.scheduler.stepping) yield UNMAP
    let zapped = 0
    // Where the VM tracks attributes, a slot served only from the file maps pages of either kind, whatever state the
    // file starts in.
    const either = !view.inode.states
    for (const slot of slots)
      zapped += vm.stage2.unmap(...gfns(slot, start, end), either && slot.gmemOnly ? BOTH_KINDS : filter)
    vm.count(VmFloat.ZAPPED, zapped)
    if (zapped > 0) yield* vm.flushRemoteTlbs()
    vm.mmuLock.unlock()
    return { zapped }
  }

  *invalidateEnd(view: GmemFile<Memslot>, start: number, end: number): KernelTask<void> {
    const vm = this.#vm
    if (view.bindings.find(start, end) === undefined) return
    yield* vm.mmuLock.lock()
    vm.invalidate.end()
    vm.mmuLock.unlock()
  }

  converted(view: GmemFile<Memslot>, start: number, end: number, to: PageState, zapped: number): void {
    const vm = this.#vm
    const toPrivate = to === 'private'
    const [from, attributes] = toPrivate
      ? [0, KVM_MEMORY_ATTRIBUTE_PRIVATE]
      : [KVM_MEMORY_ATTRIBUTE_PRIVATE, 0]
    let dropped = zapped
    for (const slot of boundSlots(view, start, end)) {
      showStates(vm, slot, Math.max(start, slot.fileIndex), Math.min(end, slot.fileIndex + slot.pages))
      vm.host.trace('kvm_gmem_convert', ...gfns(slot, start, end), from, attributes, dropped)
      // The first record carries the count of them all.
      dropped = 0
    }
    vm.count(VmFloat.CONVERSIONS)
  }

  ioctl(
    view: GmemFile<Memslot>,
    process: Process,
    number: number,
    argument: UserArgument,
  ): KernelTask<number> {
    return gmemIoctl(this.#vm, view, process, number, argument)
  }

  /** Slots stay without their file: it must not be reached through them any more. */
  *release(view: GmemFile<Memslot>): KernelTask<void> {
    const vm = this.#vm
    yield* vm.slotsLock.lock()
    yield* view.teardown((slot) => {
      slot.gmem = null
      hideStates(vm, slot)
    })
    vm.mirrorSlots(true)
    vm.slotsLock.unlock()
    yield* vm.put()
  }
}

/** The slots that show file pages [start, end), each once: a slot's pages lie together in the file. */
const boundSlots = (view: GmemFile<Memslot>, start: number, end: number): Memslot[] => {
  const slots: Memslot[] = []
  view.bindings.forRange(start, end, (slot) => {
    if (slots.at(-1) !== slot) slots.push(slot)
  })
  return slots
}

/** The gfns of a slot that show file pages [start, end). */
const gfns = (slot: Memslot, start: number, end: number): [number, number] => [
  slot.gfnOf(Math.max(start, slot.fileIndex)),
  slot.gfnOf(Math.min(end, slot.fileIndex + slot.pages)),
]
