// Requests of the ioctls about dirty pages, capabilities and faulting ahead: bytes to values and back.

import { readU64, writeU64 } from '../base/u64.ts'
import { layouts, structBytes } from './uapi-layouts.ts'

const log = layouts.kvm_dirty_log
const clear = layouts.kvm_clear_dirty_log
const enable = layouts.kvm_enable_cap
const preFault = layouts.kvm_pre_fault_memory

/** struct kvm_dirty_log. */
export interface DirtyLogRequest {
  /** Address space in bits 31..16, slot id in bits 15..0. */
  readonly slot: number
  /** User address of the bitmap: a bit a page, rounded up to 8 bytes. */
  readonly bitmap: number
}

export const DIRTY_LOG_SIZE = log.size

export const readDirtyLog = (view: DataView): DirtyLogRequest => ({
  slot: view.getUint32(log.fields.slot[0], true),
  bitmap: readU64(view, log.fields.dirty_bitmap[0]),
})

export const dirtyLog = (slot: number, bitmap: number): Uint8Array =>
  structBytes(log.size, (view) => {
    view.setUint32(log.fields.slot[0], slot, true)
    writeU64(view, log.fields.dirty_bitmap[0], bitmap)
  })

/** struct kvm_clear_dirty_log: the bitmap's first bit is page `firstPage`. */
export interface ClearDirtyLogRequest extends DirtyLogRequest {
  readonly pages: number
  readonly firstPage: number
}

/** What the kernel reads: whether `first_page` is a multiple of 64 is exact for every 64-bit word. */
export interface ClearDirtyLog extends ClearDirtyLogRequest {
  readonly aligned: boolean
}

export const CLEAR_DIRTY_LOG_SIZE = clear.size

export const readClearDirtyLog = (view: DataView): ClearDirtyLog => ({
  slot: view.getUint32(clear.fields.slot[0], true),
  pages: view.getUint32(clear.fields.num_pages[0], true),
  firstPage: readU64(view, clear.fields.first_page[0]),
  aligned: view.getUint32(clear.fields.first_page[0], true) % 64 === 0,
  bitmap: readU64(view, clear.fields.dirty_bitmap[0]),
})

export const clearDirtyLogRequest = (request: ClearDirtyLogRequest): Uint8Array =>
  structBytes(clear.size, (view) => {
    view.setUint32(clear.fields.slot[0], request.slot, true)
    view.setUint32(clear.fields.num_pages[0], request.pages, true)
    writeU64(view, clear.fields.first_page[0], request.firstPage)
    writeU64(view, clear.fields.dirty_bitmap[0], request.bitmap)
  })

/** struct kvm_enable_cap, of whose arguments no capability here takes more than the first. */
export interface EnableCapRequest {
  readonly cap: number
  readonly flags: number
  readonly argument: number
}

export const ENABLE_CAP_SIZE = enable.size

export const readEnableCap = (view: DataView): EnableCapRequest => ({
  cap: view.getUint32(enable.fields.cap[0], true),
  flags: view.getUint32(enable.fields.flags[0], true),
  argument: readU64(view, enable.fields.args[0]),
})

export const enableCapRequest = (cap: number, argument: number, flags = 0): Uint8Array =>
  structBytes(enable.size, (view) => {
    view.setUint32(enable.fields.cap[0], cap, true)
    view.setUint32(enable.fields.flags[0], flags, true)
    writeU64(view, enable.fields.args[0], argument)
  })

/** struct kvm_pre_fault_memory; gpa and size, in bytes, are in-out: they advance by what was mapped. */
export interface PreFaultRequest {
  readonly gpa: number
  readonly size: number
  readonly flags: number
}

export const PRE_FAULT_SIZE = preFault.size

export const readPreFault = (view: DataView): PreFaultRequest => ({
  gpa: readU64(view, preFault.fields.gpa[0]),
  size: readU64(view, preFault.fields.size[0]),
  flags: readU64(view, preFault.fields.flags[0]),
})

export const writePreFault = (view: DataView, left: Pick<PreFaultRequest, 'gpa' | 'size'>): void => {
  writeU64(view, preFault.fields.gpa[0], left.gpa)
  writeU64(view, preFault.fields.size[0], left.size)
}

export const preFaultRequest = (gpa: number, size: number, flags = 0): Uint8Array =>
  structBytes(preFault.size, (view) => {
    writePreFault(view, { gpa, size })
    writeU64(view, preFault.fields.flags[0], flags)
  })
