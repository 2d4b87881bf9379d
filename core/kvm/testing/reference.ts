// A small reference model of guest_memfd under KVM, written from the documentation alone: pages in plain maps, one
// byte a page, no locks, no tables, nothing shared with the implementation. What it says, every call must answer.

import type { LinuxBehaviour } from '../behaviours.ts'

export const PAGES = 24
export const FILES = 3
export const SLOT_IDS = 4

/** VMs by index: 0 has no private memory (type 0), 1 has it (type 1). */
export type VmIndex = 0 | 1

/** A call of the random sequences. Pages, not bytes; `host` pages lie in the process's anonymous arena. */
export type Call =
  | { kind: 'create'; file: number; vm: VmIndex; pages: number; flags: number }
  | { kind: 'close' | 'map' | 'unmap'; file: number }
  | {
      kind: 'region'
      vm: VmIndex
      slot: number
      flags: number
      gfn: number
      pages: number
      host: number
      file: number
      offset: number
    }
  | { kind: 'attributes'; vm: VmIndex; gfn: number; pages: number; value: number }
  | { kind: 'attributes2'; file: number; start: number; pages: number; value: number }
  | { kind: 'fallocate'; file: number; mode: number; start: number; pages: number }
  | { kind: 'dontneed'; start: number; pages: number }
  /** A load (value null) or store by the process: in the arena (file null) or through the file's mapping. */
  | { kind: 'host'; file: number | null; page: number; value: number | null }
  | { kind: 'guest'; vm: VmIndex; gfn: number; value: number | null }
  /** vmsplice of a page of the arena or of the file's mapping into a pipe; the pipe read empty. */
  | { kind: 'pin'; file: number | null; page: number }
  | { kind: 'unpin' }
  /** memory_failure() of the folio that a file holds at a page, if any. */
  | { kind: 'poison'; file: number; page: number }
  /** A child process loads, or stores, where the parent would; then it exits. */
  | { kind: 'child'; file: number | null; page: number; value: number | null }

/** What a call answers: a value, an errno, a signal, or how the guest left. */
export type Answer =
  | { value: number }
  | { errno: string; at?: number }
  | { signal: 'SIGBUS' | 'SIGSEGV' }
  | { exit: 'mmio' }
  | { exit: 'memory_fault'; errno: string; private: boolean }

/** One page of memory. */
interface Frame {
  value: number
  pins: number
  poisoned: boolean
}

interface File {
  readonly vm: VmIndex
  readonly pages: number
  readonly flags: number
  readonly frames: Map<number, Frame>
  /** Per page: private (in-place conversion). */
  readonly private: boolean[]
  readonly bound: Map<number, Slot>
  open: boolean
  mapped: boolean
}

interface Slot {
  readonly flags: number
  readonly gfn: number
  readonly pages: number
  readonly host: number
  readonly offset: number
  /** Was made with a file; `file` is null once that is gone. */
  readonly withFile: boolean
  readonly gmemOnly: boolean
  file: File | null
}

const MMAP = 1
const INIT_SHARED = 2
const LOG_DIRTY = 1
const READONLY = 2
const GMEM = 4
const PRIVATE = 8
const KEEP_SIZE = 1
const PUNCH_HOLE = 2

const ok: Answer = { value: 0 }
const errno = (name: string): Answer => ({ errno: name })
const SIGBUS: Answer = { signal: 'SIGBUS' }
const SIGSEGV: Answer = { signal: 'SIGSEGV' }

export class Reference {
  readonly #linux: LinuxBehaviour
  readonly #files: (File | null)[] = Array.from({ length: FILES }, () => null)
  readonly #slots: [Map<number, Slot>, Map<number, Slot>] = [new Map(), new Map()]
  readonly #private = new Set<number>()
  readonly #arena = new Map<number, Frame>()
  readonly #pinned: Frame[] = []
  readonly #pipeSize: number

  /** `pipeSize`: buffers of a pipe. */
  constructor(linux: LinuxBehaviour, pipeSize = 16) {
    this.#linux = linux
    this.#pipeSize = pipeSize
  }

  answer(call: Call): Answer {
    switch (call.kind) {
      case 'create':
        return this.#create(call)
      case 'close':
      case 'map':
      case 'unmap':
        return this[call.kind](call.file)
      case 'region':
        return this.#region(call)
      case 'attributes':
        return this.#attributes(call)
      case 'attributes2':
        return this.#attributes2(call)
      case 'fallocate':
        return this.#fallocate(call)
      case 'dontneed':
        for (let page = call.start; page < call.start + call.pages; page++) this.#arena.delete(page)
        return ok
      case 'host':
        return this.#host(call.file, call.page, call.value)
      case 'guest':
        return this.#guest(call)
      case 'pin':
        return this.#pin(call.file, call.page)
      case 'unpin':
        for (const frame of this.#pinned) frame.pins--
        this.#pinned.length = 0
        return ok
      case 'poison':
        return this.#poison(call)
      case 'child':
        return this.#child(call.file, call.page, call.value)
    }
  }

  #create({ file, vm, pages, flags }: Extract<Call, { kind: 'create' }>): Answer {
    this.unmap(file)
    this.close(file)
    const { gmemFlags, initSharedWithPrivateMemory } = this.#linux
    const initShared = gmemFlags && (vm === 0 || initSharedWithPrivateMemory)
    if (flags & ~((gmemFlags ? MMAP : 0) | (initShared ? INIT_SHARED : 0))) return errno('EINVAL')
    if (pages <= 0) return errno('EINVAL')
    this.#files[file] = {
      vm,
      pages,
      flags,
      frames: new Map(),
      private: new Array<boolean>(pages).fill(!(flags & INIT_SHARED)),
      bound: new Map(),
      open: true,
      mapped: false,
    }
    return ok
  }

  close(index: number): Answer {
    const file = this.#files[index]
    if (!file?.open) return errno('EBADF')
    file.open = false
    this.#release(file)
    return ok
  }

  map(index: number): Answer {
    const file = this.#files[index]
    if (!file?.open) return errno('EBADF')
    if (!(file.flags & MMAP)) return errno('ENODEV')
    file.mapped = true
    return ok
  }

  unmap(index: number): Answer {
    const file = this.#files[index]
    if (file?.mapped) {
      file.mapped = false
      this.#release(file)
    }
    return ok
  }

  #release(file: File): void {
    if (file.open || file.mapped) return
    for (const slot of file.bound.values()) slot.file = null
  }

  #region(call: Extract<Call, { kind: 'region' }>): Answer {
    const { vm, flags, gfn, pages, host, offset } = call
    const slots = this.#slots[vm]
    const old = slots.get(call.slot)
    const gmemAllowed = vm === 1 || !this.#linux.gmemNeedsPrivateMemory
    const valid = flags & GMEM ? (gmemAllowed ? GMEM : 0) : LOG_DIRTY | READONLY
    if (flags & ~valid) return errno('EINVAL')
    if (pages === 0) {
      if (!old) return errno('EINVAL')
      this.#delete(vm, call.slot)
      return ok
    }
    if (old) {
      if (flags & GMEM) return errno('EINVAL')
      if (old.host !== host || old.pages !== pages) return errno('EINVAL')
      if ((old.flags ^ flags) & (READONLY | GMEM)) return errno('EINVAL')
      if (old.gfn === gfn && old.flags === flags) return ok
    }
    if (!old || old.gfn !== gfn)
      for (const [id, other] of slots)
        if (id !== call.slot && gfn < other.gfn + other.pages && other.gfn < gfn + pages)
          return errno('EEXIST')
    let file: File | null = null
    if (flags & GMEM) {
      file = this.#files[call.file]
      if (!file?.open) return errno('EBADF')
      if (file.vm !== vm || offset + pages > file.pages) return errno('EINVAL')
      for (let i = 0; i < pages; i++)
        if (file.bound.has(offset + i)) return errno(this.#linux.overlappingBind)
    }
    const gmemOnly = file !== null && (this.#linux.inPlaceConversion || (file.flags & MMAP) !== 0)
    const slot: Slot = { flags, gfn, pages, host, offset, withFile: file !== null, gmemOnly, file }
    for (let i = 0; file && i < pages; i++) file.bound.set(offset + i, slot)
    slots.set(call.slot, slot)
    return ok
  }

  #delete(vm: VmIndex, id: number): void {
    const slot = this.#slots[vm].get(id)
    this.#slots[vm].delete(id)
    for (let i = 0; slot?.file && i < slot.pages; i++) slot.file.bound.delete(slot.offset + i)
  }

  #attributes({ vm, gfn, pages, value }: Extract<Call, { kind: 'attributes' }>): Answer {
    const supported = vm === 1 && !this.#linux.inPlaceConversion ? PRIVATE : 0
    if (value & ~supported || pages === 0) return errno('EINVAL')
    for (let page = gfn; page < gfn + pages; page++)
      if (value) this.#private.add(page)
      else if (vm === 1) this.#private.delete(page)
    return ok
  }

  #attributes2({ file: index, start, pages, value }: Extract<Call, { kind: 'attributes2' }>): Answer {
    const file = this.#files[index]
    if (!file?.open) return errno('EBADF')
    if (!this.#linux.inPlaceConversion) return errno('ENOTTY')
    if (file.vm === 0 || value & ~PRIVATE || pages === 0) return errno('EINVAL')
    const end = start + pages
    if (start >= file.pages || end > file.pages) return errno('EINVAL')
    const toPrivate = value !== 0
    if (file.private.slice(start, end).every((state) => state === toPrivate)) return ok
    if (toPrivate)
      for (let page = start; page < end; page++)
        if (file.frames.get(page)?.pins) return { errno: 'EAGAIN', at: page }
    file.private.fill(toPrivate, start, end)
    return ok
  }

  #fallocate({ file: index, mode, start, pages }: Extract<Call, { kind: 'fallocate' }>): Answer {
    const file = this.#files[index]
    if (!file?.open) return errno('EBADF')
    if (pages <= 0) return errno('EINVAL')
    if (!(mode & KEEP_SIZE)) return errno('EOPNOTSUPP')
    const end = start + pages
    if (mode & PUNCH_HOLE) {
      for (let page = start; page < end; page++) file.frames.delete(page)
      return ok
    }
    if (end > file.pages) return errno('EINVAL')
    for (let page = start; page < end; page++) frameAt(file.frames, page)
    return ok
  }

  /** The frame that an access by the process reaches. */
  #reach(index: number | null, page: number): Frame | Answer {
    if (index === null) return frameAt(this.#arena, page)
    const file = this.#files[index]
    if (!file?.mapped || page >= file.pages) return SIGSEGV
    const shared = this.#linux.inPlaceConversion ? !file.private[page] : file.flags & INIT_SHARED
    if (!shared) return SIGBUS
    const frame = frameAt(file.frames, page)
    return frame.poisoned ? SIGBUS : frame
  }

  #host(file: number | null, page: number, value: number | null): Answer {
    const frame = this.#reach(file, page)
    return 'pins' in frame ? touch(frame, value) : frame
  }

  #guest({ vm, gfn, value }: Extract<Call, { kind: 'guest' }>): Answer {
    const slot = [...this.#slots[vm].values()].find((s) => s.gfn <= gfn && gfn < s.gfn + s.pages)
    const isPrivate = vm === 1 && this.#isPrivate(gfn, slot)
    const fault = (name: string): Answer => ({ exit: 'memory_fault', errno: name, private: isPrivate })
    // Without private memory no access is private, but a file that starts private says that its pages are.
    if (vm === 0 && this.#linux.inPlaceConversion && this.#isPrivate(gfn, slot)) return fault('EFAULT')
    if (!slot) return isPrivate ? fault('EFAULT') : { exit: 'mmio' }
    if (isPrivate || slot.gmemOnly) {
      if (!slot.file) return fault('EFAULT')
      const frame = frameAt(slot.file.frames, gfn - slot.gfn + slot.offset)
      return frame.poisoned ? fault('EHWPOISON') : touch(frame, value)
    }
    if (value !== null && slot.flags & READONLY) return { exit: 'mmio' }
    return touch(frameAt(this.#arena, slot.host + gfn - slot.gfn), value)
  }

  #isPrivate(gfn: number, slot: Slot | undefined): boolean {
    if (!this.#linux.inPlaceConversion) return this.#private.has(gfn)
    return slot?.file ? slot.file.private[gfn - slot.gfn + slot.offset] : false
  }

  #pin(file: number | null, page: number): Answer {
    if (this.#pinned.length === this.#pipeSize) return errno('EAGAIN')
    const frame = this.#reach(file, page)
    if (!('pins' in frame)) return errno('EFAULT')
    frame.pins++
    this.#pinned.push(frame)
    return { value: 1 }
  }

  #poison({ file: index, page }: Extract<Call, { kind: 'poison' }>): Answer {
    const frame = this.#files[index]?.frames.get(page)
    if (frame) frame.poisoned = true
    return ok
  }

  /** A child's store changes what it shares with its parent: a file's page, not the arena. */
  #child(index: number | null, page: number, value: number | null): Answer {
    const frame = this.#reach(index, page)
    if (!('pins' in frame)) return frame
    return index === null ? { value: value ?? frame.value } : touch(frame, value)
  }
}

const frameAt = (frames: Map<number, Frame>, page: number): Frame => {
  let frame = frames.get(page)
  if (!frame) {
    frame = { value: 0, pins: 0, poisoned: false }
    frames.set(page, frame)
  }
  return frame
}

const touch = (frame: Frame, value: number | null): Answer => {
  if (value !== null) frame.value = value
  return { value: frame.value }
}
