// Dirty logging: which pages of a slot the guest has written (virt/kvm/kvm_main.c and arch/riscv/kvm/mmu.c, v7.2).
//
// A slot with KVM_MEM_LOG_DIRTY_PAGES has a bitmap. Its stage-2 leaves are read-only until the guest writes: the fault
// marks the page and makes the leaf writable. Fetching the log, or clearing it in manual mode, takes the write
// permission away again. A writable leaf of such a slot is therefore always marked. What the VMM writes through its
// own mapping is not logged.

import { KernelError } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import type { Process } from '../host/process.ts'
import type { Memslot } from './memslot.ts'
import { KVM_DIRTY_LOG_INITIALLY_SET, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } from './uapi.ts'
import type { ClearDirtyLog, DirtyLogRequest } from './uapi-structs.ts'
import type { Vm } from './vm.ts'

const PROTECT: Step = { at: 'kvm_get_dirty_log_protect/protect' }
const CLEAR: Step = { at: 'kvm_clear_dirty_log_protect/clear' }

/** Pages in a word of the kernel's bitmap, which is made of longs. */
const LONG_PAGES = 64
const LONG_BYTES = 8

/** A slot's pages are marked dirty at once, and nothing is protected until they are cleared. */
const initiallySet = (vm: Vm): boolean => (vm.manualDirtyLogProtect & KVM_DIRTY_LOG_INITIALLY_SET) !== 0

/** A bit for each page of a slot, lowest first. */
export class DirtyBitmap {
  /** Pairs of words make the kernel's longs. */
  readonly #words: Uint32Array

  /** Throws ENOMEM. */
  constructor(pages: number) {
    try {
      this.#words = new Uint32Array(Math.ceil(pages / LONG_PAGES) * 2)
    } catch {
      throw new KernelError('ENOMEM', 'no memory for a dirty bitmap')
    }
  }

  get longs(): number {
    return this.#words.length / 2
  }

  has(page: number): boolean {
    return (this.#words[page >>> 5] & (1 << (page & 31))) !== 0
  }

  mark(page: number): void {
    this.#words[page >>> 5] |= 1 << (page & 31)
  }

  /** Marks pages [0, pages). */
  markAll(pages: number): void {
    this.#words.fill(0xffffffff, 0, pages >>> 5)
    if (pages & 31) this.#words[pages >>> 5] |= 2 ** (pages & 31) - 1
  }

  /** Clears those bits of a long that `low` and `high` have; returns which were set, in bit order. */
  clear(long: number, low: number, high: number): readonly [low: number, high: number] {
    const words = this.#words
    const cleared = [words[2 * long] & low, words[2 * long + 1] & high] as const
    words[2 * long] &= ~low
    words[2 * long + 1] &= ~high
    return cleared
  }

  /** The bytes as user space gets them. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#words.slice().buffer)
  }

  /** True when some page of a long is marked. */
  any(long: number): boolean {
    return (this.#words[2 * long] | this.#words[2 * long + 1]) !== 0
  }
}

/** The bitmap of a slot that is being made or changed: the old one's where there is one (kvm_prepare_memory_region). */
export const prepareBitmap = (vm: Vm, old: Memslot | null, pages: number): DirtyBitmap => {
  if (old?.dirtyBitmap) return old.dirtyBitmap
  const bitmap = new DirtyBitmap(pages)
  if (initiallySet(vm)) bitmap.markAll(pages)
  return bitmap
}

/** Logging of a slot has begun: every page of it is to fault at its next write (kvm_arch_commit_memory_region). */
export function* startLogging(vm: Vm, slot: Memslot): KernelTask<void> {
  if (initiallySet(vm)) return
  yield* vm.mmuLock.lock()
  const pages = vm.stage2.writeProtect(slot.baseGfn, slot.endGfn)
  if (pages > 0) yield* vm.flushRemoteTlbs()
  vm.mmuLock.unlock()
}

/** EINVAL: there can be no slot of that id. */
const checkId = (vm: Vm, slot: number): void => {
  if (slot > 0xffff || slot >= vm.profile.memslots) throw new KernelError('EINVAL')
}

/** A slot and its log. ENOENT: no such slot, or it logs nothing. */
const loggedSlot = (vm: Vm, id: number): { slot: Memslot; bitmap: DirtyBitmap } => {
  const slot = vm.slots.byId(id)
  if (!slot?.dirtyBitmap) throw new KernelError('ENOENT')
  return { slot, bitmap: slot.dirtyBitmap }
}

/**
 * KVM_GET_DIRTY_LOG: copies the bitmap out and, unless the manual mode is on, clears it and protects what it named.
 * EFAULT comes last: the log that could not be copied is lost, as in Linux.
 */
export function* getDirtyLog(vm: Vm, process: Process, request: DirtyLogRequest): KernelTask<number> {
  yield* vm.slotsLock.lock()
  try {
    checkId(vm, request.slot)
    const { slot, bitmap } = loggedSlot(vm, request.slot)
    const manual = (vm.manualDirtyLogProtect & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) !== 0
    const bytes = manual ? bitmap.bytes() : yield* fetchAndProtect(vm, slot, bitmap)
    const stored = yield* process.store(hva(request.bitmap), bytes)
    if (!stored.ok) throw new KernelError('EFAULT')
  } finally {
    vm.slotsLock.unlock()
  }
  return 0
}

function* fetchAndProtect(vm: Vm, slot: Memslot, bitmap: DirtyBitmap): KernelTask<Uint8Array> {
  yield* vm.mmuLock.lock()
  const fetched = bitmap.bytes()
  let lost = 0
  for (let long = 0; long < bitmap.longs; long++)
    if (bitmap.any(long)) lost += protect(vm, slot, long, bitmap.clear(long, -1, -1))
  if (vm.host.scheduler.stepping) yield PROTECT
  if (lost > 0) yield* vm.flushRemoteTlbs()
  vm.mmuLock.unlock()
  return fetched
}

/**
 * Write-protects the pages from the first to the last bit of a mask, as kvm_arch_mmu_enable_log_dirty_pt_masked of
 * RISC-V does: one between them that is marked faults once more than it must. Returns how many lost the permission.
 */
const protect = (vm: Vm, slot: Memslot, long: number, [low, high]: readonly [number, number]): number => {
  const gfn = slot.baseGfn + long * LONG_PAGES
  const first = low ? 31 - Math.clz32(low & -low) : 63 - Math.clz32(high & -high)
  const last = high ? 63 - Math.clz32(high) : 31 - Math.clz32(low)
  return vm.stage2.writeProtect(gfn + first, gfn + last + 1)
}

/**
 * KVM_CLEAR_DIRTY_LOG: clears the bits that are set in the caller's bitmap and protects their pages. EINVAL: ids, a
 * first page that is no multiple of 64, a range outside the slot or one that ends inside a long but not at the slot's
 * end; ENOENT comes between them; EFAULT changes nothing.
 */
export function* clearDirtyLog(vm: Vm, process: Process, request: ClearDirtyLog): KernelTask<number> {
  yield* vm.slotsLock.lock()
  try {
    checkId(vm, request.slot)
    const { firstPage, pages } = request
    if (!request.aligned) throw new KernelError('EINVAL')
    const { slot, bitmap } = loggedSlot(vm, request.slot)
    const left = slot.pages - firstPage
    if (left < 0 || pages > left || (pages < left && pages % LONG_PAGES !== 0))
      throw new KernelError('EINVAL')
    const longs = Math.ceil(pages / LONG_PAGES)
    const mask = yield* process.load(hva(request.bitmap), longs * LONG_BYTES)
    if (!mask.ok) throw new KernelError('EFAULT')
    yield* clearAndProtect(vm, slot, bitmap, firstPage / LONG_PAGES, mask.value)
  } finally {
    vm.slotsLock.unlock()
  }
  return 0
}

function* clearAndProtect(
  vm: Vm,
  slot: Memslot,
  bitmap: DirtyBitmap,
  first: number,
  mask: Uint8Array,
): KernelTask<void> {
  const view = new DataView(mask.buffer, mask.byteOffset, mask.byteLength)
  yield* vm.mmuLock.lock()
  let lost = 0
  for (let i = 0; i < mask.length / LONG_BYTES; i++) {
    const low = view.getInt32(i * LONG_BYTES, true)
    const high = view.getInt32(i * LONG_BYTES + 4, true)
    const cleared = bitmap.clear(first + i, low, high)
    if (cleared[0] | cleared[1]) lost += protect(vm, slot, first + i, cleared)
  }
  if (vm.host.scheduler.stepping) yield CLEAR
  if (lost > 0) yield* vm.flushRemoteTlbs()
  vm.mmuLock.unlock()
}
