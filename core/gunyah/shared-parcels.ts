// Memory that a guest shares while it runs, by parcel (project-own: docs/gunyah-riscv.md, "share and unshare").
//
// A shared range is a parcel of the file's folios at those addresses, owned by the host and accepted by the VM. The
// guest's `provided` entries say which parcel gave a page, so that nobody reclaims it page by page.

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { VmFloat } from '../host/tables.ts'
import { TRACE_PRIVATE } from '../trace/events.ts'
import type { Binding } from './binding.ts'
import { HLOS_VMID } from './hyp/hypervisor.ts'
import { reclaimRange } from './paging.ts'
import { rmErrno } from './rm/error.ts'
import { AcceptFlag, encodeAccept, encodeHandle, Right } from './rm/memory-messages.ts'
import { RmMessage, VmState } from './rm/message-ids.ts'
import type { GunyahVm } from './vm.ts'

export interface SharedParcel {
  readonly handle: number
  readonly gfn: number
  readonly frames: readonly Pfn[]
}

/** A range of gfns, [start, end). */
export interface GfnRange {
  readonly start: number
  readonly end: number
}

export class SharedParcels {
  readonly #vm: GunyahVm
  #parcels: SharedParcel[] = []

  constructor(vm: GunyahVm) {
    this.#vm = vm
  }

  get all(): readonly SharedParcel[] {
    return this.#parcels
  }

  /** The guest gives up gfns [start, end), all lent or untouched: they become memory of both. Throws what fails. */
  *share({ start, end }: GfnRange): KernelTask<void> {
    const vm = this.#vm
    yield* vm.bindingsLock.readLock()
    try {
      vm.resources?.space.release(start, end - start)
      const had = vm.providedGfns(start, end).length
      yield* reclaimRange(vm, start, end, 'all')
      for (const part of pieces(vm, start, end)) yield* this.#make(part)
      vm.host.trace('gunyah_gmem_convert', start, end, TRACE_PRIVATE, 0, had)
    } finally {
      vm.bindingsLock.readUnlock()
    }
    vm.count(VmFloat.CONVERSIONS)
  }

  /** The guest wants gfns [start, end), all shared, for itself again: their contents are gone. */
  *unshare({ start, end }: GfnRange): KernelTask<void> {
    const vm = this.#vm
    yield* vm.bindingsLock.readLock()
    try {
      for (const parcel of this.#parcels.filter((it) => it.gfn < end && it.gfn + it.frames.length > start)) {
        const last = parcel.gfn + parcel.frames.length
        yield* this.#end(parcel)
        for (const [from, to] of [
          [parcel.gfn, Math.min(last, start)],
          [Math.max(parcel.gfn, end), last],
        ])
          if (from < to) for (const part of pieces(vm, from, to)) yield* this.#make(part)
      }
      for (const { binding, from, to } of pieces(vm, start, end)) yield* this.#forget(binding, from, to)
      vm.host.trace('gunyah_gmem_convert', start, end, 0, TRACE_PRIVATE, end - start)
    } finally {
      vm.bindingsLock.readUnlock()
    }
    vm.count(VmFloat.CONVERSIONS)
  }

  /** The VM ends: RM has released what it had accepted. */
  *reclaimAll(): KernelTask<void> {
    for (const parcel of [...this.#parcels]) yield* this.#end(parcel)
  }

  /** A parcel of one binding's pages, accepted at the same addresses. */
  *#make({ binding, from, to }: Piece): KernelTask<void> {
    const vm = this.#vm
    const { rm } = vm.system
    const { inode } = binding.gmem
    yield* inode.invalidateLock.readLock()
    try {
      const frames: Pfn[] = []
      for (let gfn = from; gfn < to; gfn++) {
        const pfn = inode.folioOrCreate(binding.fileIndexOf(gfn))
        if (pfn < 0) throw new KernelError('ENOMEM')
        inode.makeUptodate(pfn as Pfn)
        frames.push(pfn as Pfn)
      }
      const handle = yield* rm.memShare({
        label: from,
        acl: [
          { vmid: HLOS_VMID, rights: Right.R | Right.W },
          { vmid: vm.vmid, rights: Right.R | Right.W },
        ],
        sgl: runs(frames),
      })
      const acceptance = encodeAccept({
        handle,
        flags: AcceptFlag.CONTIGUOUS | AcceptFlag.DONE,
        label: from,
        acl: [],
        sgl: [{ ipa: from * PAGE_SIZE, size: frames.length * PAGE_SIZE }],
      })
      yield* this.#asGuest(RmMessage.MEM_ACCEPT, acceptance)
      for (const [i, pfn] of frames.entries()) {
        vm.host.buddy.get(pfn)
        vm.provided.set(from + i, { pfn, share: true, write: true, parcel: handle })
      }
      this.#parcels.push({ handle, gfn: from, frames })
      vm.setPrivate(from, to, false)
    } finally {
      inode.invalidateLock.readUnlock()
    }
    vm.mirrorStage2()
  }

  /** The VM releases the parcel, and the host takes it back. */
  *#end(parcel: SharedParcel): KernelTask<void> {
    const vm = this.#vm
    const { rm } = vm.system
    if (vm.status === VmState.RUNNING)
      yield* this.#asGuest(RmMessage.MEM_RELEASE, encodeHandle({ handle: parcel.handle, flags: 0 }))
    yield* rm.memReclaim(parcel.handle)
    this.#parcels = this.#parcels.filter((it) => it !== parcel)
    for (const [i, pfn] of parcel.frames.entries()) {
      vm.take(parcel.gfn + i)
      vm.host.buddy.put(pfn)
    }
    vm.setPrivate(parcel.gfn, parcel.gfn + parcel.frames.length, true)
    vm.mirrorStage2()
  }

  /** A call of the VM's own to RM, which its COVG call stands for. */
  *#asGuest(message: number, payload: Uint8Array): KernelTask<void> {
    const { error } = yield* this.#vm.system.manager.call(this.#vm.vmid, message, payload)
    if (error !== 0) throw new KernelError(rmErrno(error))
  }

  /** The pages leave the file, so that the next touch finds fresh ones. */
  *#forget(binding: Binding, from: number, to: number): KernelTask<void> {
    const { inode } = binding.gmem
    yield* inode.invalidateLock.writeLock()
    yield* inode.truncateRange(binding.fileIndexOf(from), binding.fileIndexOf(to))
    inode.invalidateLock.writeUnlock()
  }
}

interface Piece {
  readonly binding: Binding
  readonly from: number
  readonly to: number
}

/** The parts of [start, end) by binding. */
const pieces = (vm: GunyahVm, start: number, end: number): Piece[] => {
  const found: Piece[] = []
  vm.bindings.forRange(start, end, (binding, from, to) => {
    const last = found.at(-1)
    if (last?.binding === binding) found[found.length - 1] = { ...last, to }
    else found.push({ binding, from, to })
  })
  return found
}

/** Scatter list of frames: address and size, in bytes, of each run. */
const runs = (frames: readonly Pfn[]): { ipa: number; size: number }[] => {
  const list: { ipa: number; size: number }[] = []
  for (const pfn of frames) {
    const last = list.at(-1)
    if (last && last.ipa + last.size === pfn * PAGE_SIZE) last.size += PAGE_SIZE
    else list.push({ ipa: pfn * PAGE_SIZE, size: PAGE_SIZE })
  }
  return list
}
