// Where everything lies in host memory: one WebAssembly.Memory, laid out low to high.
//
//   header | vCPU blocks | folio table | machine tables | trace rings | device words | frames ...
//
// The layout follows from the memory's size alone, so every thread computes the same one; the header repeats
// magic, version and size so that a reader attached to a wrong buffer finds out.

import { PAGE_SIZE } from '../base/units.ts'
import { MAX_VCPUS, VCPU_BLOCK_SIZE } from '../engine/vcpu-block.ts'

export const HOST_MAGIC = 0x474d4853 // "GMHS"
export const HOST_LAYOUT_VERSION = 2

/** i32 word indexes in the header page. */
export const Header = {
  MAGIC: 0,
  VERSION: 1,
  FRAMES: 2,
  /** MachineState. */
  MACHINE_STATE: 4,
  /** Bumped by the hypervisor worker at least every 100 ms; stands still when it is dead. */
  HEARTBEAT: 5,
  /** Rung by vCPU workers for the hypervisor worker (Atomics.notify here). */
  DOORBELL: 7,
  /** Not 0 while the hypervisor worker is parked on DOORBELL. */
  DOORBELL_PARKED: 8,
  /** Bumped after each batch of changes to any shared table: nothing to redraw while it stands still. */
  GENERATION: 9,
  /** Not 0: the timer thread and the hypervisor's pump end. */
  STOP: 10,
  /** Not 0: the guest has a PCI bus. */
  PCI_BUS: 11,
} as const

export const MAX_VMS = 4
export const MAX_SLOT_ROWS = 512
export const MAX_RANGE_ROWS = 16_384
export const MAX_FILE_ROWS = 128
export const SLOT_ROW_BYTES = 96
export const RANGE_ROW_BYTES = 16
export const FILE_ROW_BYTES = 64
export const VM_ROW_BYTES = 256
export const MAX_PARCEL_ROWS = 256
export const PARCEL_HEADER_BYTES = 64
export const PARCEL_ROW_BYTES = 32

/** One trace ring per thread: 0 is the hypervisor worker, 1 + n is vCPU n. */
export const TRACE_RINGS = 1 + MAX_VCPUS
export const HYPERVISOR_RING_RECORDS = 16_384
export const VCPU_RING_RECORDS = 4_096
const TRACE_RECORD_BYTES = 64
export const TRACE_RING_HEADER_BYTES = 64

/** Bytes kept for device state (UART, PLIC, console rings). */
const DEVICE_BYTES = 0x40000

/** Bytes a folio-table row takes over all its columns. */
const FOLIO_ROW_BYTES = 28

/** Byte offsets into host memory; sizes in bytes. */
export interface HostLayout {
  readonly bytes: number
  /** Page frames in all, counting the ones under this layout's own tables (they are reserved). */
  readonly frames: number
  readonly vcpus: number
  readonly folios: number
  readonly vms: number
  readonly slots: number
  readonly attributes: number
  readonly declared: number
  readonly files: number
  readonly parcels: number
  readonly traces: number
  readonly devices: number
  /** First frame that the allocator owns. */
  readonly firstFrame: number
}

const align = (offset: number, to: number): number => Math.ceil(offset / to) * to

/** The layout of a host of `bytes` bytes (a multiple of 64 KiB). */
export const hostLayout = (bytes: number): HostLayout => {
  const frames = bytes / PAGE_SIZE
  let offset = 0
  const take = (size: number, alignment = 64): number => {
    const at = align(offset, alignment)
    offset = at + size
    return at
  }
  take(PAGE_SIZE)
  const vcpus = take(MAX_VCPUS * VCPU_BLOCK_SIZE, 0x10000)
  const folios = take(frames * FOLIO_ROW_BYTES, PAGE_SIZE)
  const vms = take(MAX_VMS * VM_ROW_BYTES)
  const slots = take(MAX_VMS * MAX_SLOT_ROWS * SLOT_ROW_BYTES)
  const attributes = take(MAX_VMS * MAX_RANGE_ROWS * RANGE_ROW_BYTES)
  const declared = take(MAX_VMS * MAX_RANGE_ROWS * RANGE_ROW_BYTES)
  const files = take(MAX_FILE_ROWS * FILE_ROW_BYTES)
  const parcels = take(PARCEL_HEADER_BYTES + MAX_PARCEL_ROWS * PARCEL_ROW_BYTES)
  const traces = take(
    TRACE_RINGS * TRACE_RING_HEADER_BYTES +
      (HYPERVISOR_RING_RECORDS + MAX_VCPUS * VCPU_RING_RECORDS) * TRACE_RECORD_BYTES,
  )
  const devices = take(DEVICE_BYTES, PAGE_SIZE)
  const firstFrame = align(offset, PAGE_SIZE) / PAGE_SIZE
  return {
    bytes,
    frames,
    vcpus,
    folios,
    vms,
    slots,
    attributes,
    declared,
    files,
    parcels,
    traces,
    devices,
    firstFrame,
  }
}

/** Byte offset of vCPU `index`'s block. */
export const vcpuBlock = (layout: HostLayout, index: number): number => layout.vcpus + index * VCPU_BLOCK_SIZE
