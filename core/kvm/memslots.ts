// KVM_SET_USER_MEMORY_REGION and 2: creating, changing and deleting memslots (virt/kvm/kvm_main.c).
//
// The first failing check decides the errno. Replacing a slot goes through the two slot sets: a slot that is
// deleted or moved is first published as INVALID, then its mappings go, then the new set is published.

import { KernelError } from '../base/errno.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import type { GmemFile } from '../gmem/file.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { BOTH_KINDS } from '../gmem/operations.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import { VmFloat } from '../host/tables.ts'
import { Prot } from '../host/vma.ts'
import { prepareBitmap, startLogging } from './dirty-log.ts'
import { bindSlot, gmemForSlot, gmemSlotsAllowed, unbindSlot } from './gmem.ts'
import { Memslot } from './memslot.ts'
import { forEachState, showStates } from './page-states.ts'
import { MAX_SLOT_PAGES, MemFlag, type MemoryRegion } from './uapi.ts'
import type { Vm } from './vm.ts'

/** What a request does to its slot (enum kvm_mr_change); the number is the trace record's. */
const SlotChange = { CREATE: 0, DELETE: 1, MOVE: 2, FLAGS_ONLY: 3 } as const
type Change = (typeof SlotChange)[keyof typeof SlotChange]

const INVALID_PUBLISHED: Step = { at: 'kvm_set_memslot/invalid_published' }
const PUBLISHED: Step = { at: 'kvm_set_memslot/published' }

const V1_FLAGS = MemFlag.LOG_DIRTY_PAGES | MemFlag.READONLY

/** The ioctl. `second`: KVM_SET_USER_MEMORY_REGION2. */
export function* setUserMemoryRegion(
  vm: Vm,
  process: Process,
  region: MemoryRegion,
  second: boolean,
): KernelTask<number> {
  if (!second && region.flags & ~V1_FLAGS) throw new KernelError('EINVAL')
  if ((region.slot & 0xffff) >= vm.profile.memslots) throw new KernelError('EINVAL')
  // The kernel puts files on the way back to user space, after every lock: releasing one takes slots_lock.
  const files: GmemFile<Memslot>[] = []
  yield* vm.slotsLock.lock()
  try {
    yield* setMemoryRegion(vm, process, region, files)
  } finally {
    vm.slotsLock.unlock()
    for (const file of files) yield* file.put()
  }
  return 0
}

/** check_memory_region_flags. */
const checkFlags = (vm: Vm, flags: number): void => {
  let valid: number = gmemSlotsAllowed(vm.profile, vm) ? MemFlag.GUEST_MEMFD : 0
  if (!(flags & MemFlag.GUEST_MEMFD)) {
    valid |= MemFlag.LOG_DIRTY_PAGES
    if (vm.profile.readonlyMem) valid |= MemFlag.READONLY
  }
  if (flags & ~valid) throw new KernelError('EINVAL')
}

/** access_ok for the host half. */
const isUserRange = (vm: Vm, address: number, size: number): boolean =>
  address + size <= 2 ** vm.profile.userAddressBits - PAGE_SIZE

/** Everything about the request that does not depend on the slots there are. */
const checkArguments = (vm: Vm, region: MemoryRegion): void => {
  checkFlags(vm, region.flags)
  if (!isPageAligned(region.memorySize)) throw new KernelError('EINVAL')
  if (!isPageAligned(region.guestPhysAddr)) throw new KernelError('EINVAL')
  if (!isPageAligned(region.userspaceAddr)) throw new KernelError('EINVAL')
  if (!isUserRange(vm, region.userspaceAddr, region.memorySize)) throw new KernelError('EINVAL')
  const pages = region.memorySize / PAGE_SIZE
  if (region.flags & MemFlag.GUEST_MEMFD) {
    if (!isPageAligned(region.guestMemfdOffset)) throw new KernelError('EINVAL')
    if (region.guestMemfdOffset / PAGE_SIZE + pages >= U64_PAGES) throw new KernelError('EINVAL')
  }
  // One address space: any other id is out of range.
  if (region.slot > 0xffff) throw new KernelError('EINVAL')
  if (pages > 0 && region.guestPhysAddr / PAGE_SIZE + pages >= U64_PAGES) throw new KernelError('EINVAL')
  if (pages > MAX_SLOT_PAGES) throw new KernelError('EINVAL')
}

/** kvm_set_memory_region, under slots_lock. */
function* setMemoryRegion(
  vm: Vm,
  process: Process,
  region: MemoryRegion,
  files: GmemFile<Memslot>[],
): KernelTask<void> {
  checkArguments(vm, region)
  const id = region.slot & 0xffff
  const old = vm.slots.byId(id)
  const pages = region.memorySize / PAGE_SIZE
  if (pages === 0) {
    if (!old) throw new KernelError('EINVAL')
    yield* replaceSlot(vm, old, null, SlotChange.DELETE)
    return
  }
  const baseGfn = region.guestPhysAddr / PAGE_SIZE
  const change = old ? changeOf(old, region, baseGfn, pages) : SlotChange.CREATE
  if (change === null) return
  if (change === SlotChange.CREATE && vm.slotPages + pages > Number.MAX_SAFE_INTEGER)
    throw new KernelError('EINVAL')
  if (
    (change === SlotChange.CREATE || change === SlotChange.MOVE) &&
    vm.slots.overlaps(baseGfn, baseGfn + pages, id)
  )
    throw new KernelError('EEXIST')

  let gmem: GmemFile<Memslot> | null = null
  if (region.flags & MemFlag.GUEST_MEMFD) {
    gmem = gmemForSlot(vm, process, region.guestMemfd, region.guestMemfdOffset, pages)
    files.push(gmem)
  }
  const slot = new Memslot({
    id,
    flags: region.flags | (gmem && servesBoth(gmem) ? MemFlag.GMEM_ONLY : 0),
    baseGfn,
    pages,
    userspaceAddr: region.userspaceAddr,
    fileIndex: gmem ? region.guestMemfdOffset / PAGE_SIZE : 0,
    gmem,
    dirtyBitmap: region.flags & MemFlag.LOG_DIRTY_PAGES ? prepareBitmap(vm, old, pages) : null,
  })
  if (vm.profile.bindCommitsLast) {
    yield* replaceSlot(vm, old, slot, change)
    return
  }
  yield* bindSlot(vm, slot)
  try {
    yield* replaceSlot(vm, old, slot, change)
  } catch (error) {
    yield* unbindSlot(vm, slot)
    throw error
  }
}

/** The file's pages back shared gfns, too: it can be mapped by the host, or its pages are converted in place. */
const servesBoth = ({ inode }: GmemFile<Memslot>): boolean =>
  inode.states !== null || (inode.flags & GmemFlag.MMAP) !== 0

/** What a request for an existing slot changes; null: nothing. */
const changeOf = (old: Memslot, region: MemoryRegion, baseGfn: number, pages: number): Change | null => {
  // Slots with a guest_memfd are immutable: delete and recreate.
  if (region.flags & MemFlag.GUEST_MEMFD) throw new KernelError('EINVAL')
  const toggled = old.flags ^ region.flags
  if (old.userspaceAddr !== region.userspaceAddr || old.pages !== pages) throw new KernelError('EINVAL')
  if (toggled & (MemFlag.READONLY | MemFlag.GUEST_MEMFD)) throw new KernelError('EINVAL')
  if (old.baseGfn !== baseGfn) return SlotChange.MOVE
  return toggled ? SlotChange.FLAGS_ONLY : null
}

/** kvm_arch_prepare_memory_region. */
const prepareArch = (vm: Vm, slot: Memslot): void => {
  const limit = 2 ** (vm.profile.gpaBits - 12) - (vm.profile.lastPageUsable ? 0 : 1)
  if (slot.endGfn > limit) throw new KernelError(vm.profile.slotBeyondGpa)
  if (!vm.profile.checksSlotMapping || slot.readonly) return
  const end = slot.userspaceAddr + slot.pages * PAGE_SIZE
  for (const vma of vm.process.vmas.within(slot.userspaceAddr, end))
    if (!(vma.prot & Prot.WRITE)) throw new KernelError('EPERM')
}

/** kvm_set_memslot, under slots_lock. */
function* replaceSlot(vm: Vm, old: Memslot | null, slot: Memslot | null, change: Change): KernelTask<void> {
  yield* vm.slotsArchLock.lock()
  let invalid: Memslot | null = null
  if (old && (change === SlotChange.DELETE || change === SlotChange.MOVE)) {
    invalid = old.withFlags(old.flags | MemFlag.INVALID)
    vm.inactiveSlots.replace(old, invalid)
    yield* swapActive(vm)
    if (vm.host.scheduler.stepping) yield INVALID_PUBLISHED
    yield* flushShadow(vm, old)
    yield* vm.slotsArchLock.lock()
  }
  try {
    if (slot) prepareArch(vm, slot)
    // kvm_gmem_commit: when all else about the slot is right, and before readers see it.
    if (slot && vm.profile.bindCommitsLast && change === SlotChange.CREATE) yield* bindSlot(vm, slot)
  } catch (error) {
    if (old && invalid) {
      // The set that is not active now still holds the slot as it was.
      yield* swapActive(vm)
      vm.inactiveSlots.replace(invalid, old)
    } else vm.slotsArchLock.unlock()
    throw error
  }
  const stale = vm.inactiveSlots
  exchange(stale, old, slot)
  yield* swapActive(vm)
  // The set that readers have left follows.
  exchange(vm.inactiveSlots, invalid ?? old, slot)
  if (vm.host.scheduler.stepping) yield PUBLISHED
  yield* commit(vm, old, slot, change)
}

const exchange = (set: Vm['slots'], old: Memslot | null, slot: Memslot | null): void => {
  if (old && slot) set.replace(old, slot)
  else if (old) set.remove(old)
  else if (slot) set.insert(slot)
}

/** kvm_swap_active_memslots; lets go of slots_arch_lock. */
function* swapActive(vm: Vm): KernelTask<void> {
  yield { at: 'kvm_swap_active_memslots/wait_notifiers', until: () => vm.activeInvalidations === 0 }
  vm.swapSlots()
  vm.slotsArchLock.unlock()
  yield* vm.srcu.synchronize()
}

/** kvm_arch_flush_shadow_memslot: no vCPU keeps a translation through the slot. */
function* flushShadow(vm: Vm, slot: Memslot): KernelTask<void> {
  yield* vm.mmuLock.lock()
  const zapped = vm.stage2.unmap(slot.baseGfn, slot.endGfn, BOTH_KINDS)
  vm.count(VmFloat.ZAPPED, zapped)
  if (zapped > 0) yield* vm.flushRemoteTlbs()
  vm.mmuLock.unlock()
}

/** What a new slot with a guest_memfd makes of its gfns: private or shared, and declared so where undeclared. */
const showCreated = (vm: Vm, slot: Memslot): void => {
  if (vm.profile.inPlaceConversion) {
    const [first, last] = [slot.fileIndex, slot.fileIndex + slot.pages]
    showStates(vm, slot, first, last)
    forEachState(slot, first, last, (state, start, end) =>
      vm.declared?.slotCreated(start, end, state === 'private'),
    )
  } else if (slot.hasGmem && !slot.gmemOnly) vm.declared?.slotCreated(slot.baseGfn, slot.endGfn)
}

/** kvm_commit_memory_region. */
function* commit(vm: Vm, old: Memslot | null, slot: Memslot | null, change: Change): KernelTask<void> {
  const shown = slot ?? old
  if (shown) vm.host.trace('gmemscope_memslot', change, shown.id, shown.baseGfn, shown.pages, shown.flags)
  if (change === SlotChange.CREATE && slot) {
    vm.slotPages += slot.pages
    showCreated(vm, slot)
  }
  if (change === SlotChange.FLAGS_ONLY && slot?.dirtyBitmap && !slot.readonly) yield* startLogging(vm, slot)
  if (change === SlotChange.DELETE && old) {
    vm.slotPages -= old.pages
    yield* unbindSlot(vm, old)
  }
  vm.host.memory.bumpGeneration()
}
