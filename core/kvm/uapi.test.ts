// The uAPI's numbers and layouts as include/uapi/linux/kvm.h (v7.2) has them, written out.

import { expect, test } from 'vitest'
import {
  Cap,
  createGuestMemfd,
  ExitReason,
  gmemPopulate,
  KVM_API_VERSION,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_MEMORY_EXIT_FLAG_PRIVATE,
  Kvm,
  MAX_SLOT_PAGES,
  MemFlag,
  memoryAttributes,
  memoryRegion2,
  readCreateGuestMemfd,
  readGmemPopulate,
  readMemoryAttributes,
  readMemoryRegion,
} from './uapi.ts'

test('K2 ioctl numbers', () => {
  expect(Kvm).toEqual({
    GET_API_VERSION: 0x0000ae00,
    CREATE_VM: 0x0000ae01,
    CHECK_EXTENSION: 0x0000ae03,
    GET_VCPU_MMAP_SIZE: 0x0000ae04,
    CREATE_VCPU: 0x0000ae41,
    GET_DIRTY_LOG: 0x4010ae42,
    SET_USER_MEMORY_REGION: 0x4020ae46,
    SET_USER_MEMORY_REGION2: 0x40a0ae49,
    RUN: 0x0000ae80,
    INTERRUPT: 0x4004ae86,
    GET_MP_STATE: 0x8004ae98,
    SET_MP_STATE: 0x4004ae99,
    GET_ONE_REG: 0x4010aeab,
    SET_ONE_REG: 0x4010aeac,
    GET_REG_LIST: 0xc008aeb0,
    ENABLE_CAP: 0x4068aea3,
    CLEAR_DIRTY_LOG: 0xc018aec0,
    SET_MEMORY_ATTRIBUTES: 0x4020aed2,
    SET_MEMORY_ATTRIBUTES2: 0xc080aed2,
    CREATE_GUEST_MEMFD: 0xc040aed4,
    PRE_FAULT_MEMORY: 0xc040aed5,
    // Project-own.
    GMEM_POPULATE: 0xc040aefe,
  })
  expect(KVM_API_VERSION).toBe(12)
})

test('K2 capabilities', () => {
  expect(Cap).toEqual({
    USER_MEMORY: 3,
    NR_VCPUS: 9,
    NR_MEMSLOTS: 10,
    MP_STATE: 14,
    SYNC_MMU: 16,
    DESTROY_MEMORY_REGION_WORKS: 21,
    JOIN_MEMORY_REGIONS_WORKS: 30,
    INTERNAL_ERROR_DATA: 40,
    MAX_VCPUS: 66,
    ONE_REG: 70,
    READONLY_MEM: 81,
    ENABLE_CAP_VM: 98,
    CHECK_EXTENSION_VM: 105,
    MULTI_ADDRESS_SPACE: 118,
    MAX_VCPU_ID: 128,
    IMMEDIATE_EXIT: 136,
    MANUAL_DIRTY_LOG_PROTECT2: 168,
    EXIT_HYPERCALL: 201,
    VM_GPA_BITS: 207,
    SYSTEM_EVENT_DATA: 215,
    USER_MEMORY2: 231,
    MEMORY_FAULT_INFO: 232,
    MEMORY_ATTRIBUTES: 233,
    GUEST_MEMFD: 234,
    VM_TYPES: 235,
    PRE_FAULT_MEMORY: 236,
    RISCV_MP_STATE_RESET: 242,
    GUEST_MEMFD_FLAGS: 244,
    GUEST_MEMFD_MEMORY_ATTRIBUTES: 252,
    // Project-own.
    GMEM_DOORBELL: 0x676d0001,
  })
})

test('K2 exit reasons, flags and limits', () => {
  expect(ExitReason).toEqual({
    UNKNOWN: 0,
    EXCEPTION: 1,
    IO: 2,
    HYPERCALL: 3,
    DEBUG: 4,
    HLT: 5,
    MMIO: 6,
    IRQ_WINDOW_OPEN: 7,
    SHUTDOWN: 8,
    FAIL_ENTRY: 9,
    INTR: 10,
    INTERNAL_ERROR: 17,
    SYSTEM_EVENT: 24,
    DIRTY_RING_FULL: 31,
    RISCV_SBI: 35,
    RISCV_CSR: 36,
    NOTIFY: 37,
    MEMORY_FAULT: 39,
    TDX: 40,
    ARM_SEA: 41,
    ARM_LDST64B: 42,
    SNP_REQ_CERTS: 43,
  })
  expect(MemFlag).toEqual({
    LOG_DIRTY_PAGES: 1,
    READONLY: 2,
    GUEST_MEMFD: 4,
    INVALID: 0x10000,
    GMEM_ONLY: 0x20000,
  })
  expect([KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEMORY_EXIT_FLAG_PRIVATE]).toEqual([8, 8])
  expect(MAX_SLOT_PAGES).toBe(0x7fffffff)
})

/** Fields of a structure: byte offset and size. */
type Layout = Record<string, readonly [offset: number, size: 4 | 8]>

/** What the bytes hold at the fields of a layout; every other byte must be zero. */
const fields = (bytes: Uint8Array, layout: Layout): Record<string, bigint> => {
  const view = new DataView(bytes.slice().buffer)
  const read = Object.entries(layout).map(([name, [at, size]]) => {
    const value = size === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true))
    if (size === 8) view.setBigUint64(at, 0n, true)
    else view.setUint32(at, 0, true)
    return [name, value] as const
  })
  expect(new Uint8Array(view.buffer).every((byte) => byte === 0)).toBe(true)
  return Object.fromEntries(read)
}

const asBig = (values: Record<string, number>): Record<string, bigint> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, BigInt(value)]))

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer)

test('K2 struct kvm_userspace_memory_region2, and the first version in front of it', () => {
  const region = {
    slot: 0x1_0002,
    flags: 5,
    guestPhysAddr: 2 ** 63 + 4096,
    memorySize: 2 ** 40,
    userspaceAddr: 2 ** 46,
    guestMemfdOffset: 2 ** 33,
    guestMemfd: 77,
  }
  const bytes = memoryRegion2(region)
  expect(bytes.length).toBe(160)
  const layout: Layout = {
    slot: [0, 4],
    flags: [4, 4],
    guestPhysAddr: [8, 8],
    memorySize: [16, 8],
    userspaceAddr: [24, 8],
    guestMemfdOffset: [32, 8],
    guestMemfd: [40, 4],
  }
  expect(fields(bytes, layout)).toEqual(asBig(region))
  expect(readMemoryRegion(viewOf(bytes), true)).toEqual(region)
  expect(readMemoryRegion(viewOf(bytes.slice(0, 32)), false)).toEqual({
    ...region,
    guestMemfdOffset: 0,
    guestMemfd: -1,
  })
})

test('K2 struct kvm_create_guest_memfd', () => {
  const request = { size: 2 ** 45, flags: 2 ** 32 + 3 }
  const bytes = createGuestMemfd(request.size, request.flags)
  expect(bytes.length).toBe(64)
  expect(fields(bytes, { size: [0, 8], flags: [8, 8] })).toEqual(asBig(request))
  expect(readCreateGuestMemfd(viewOf(bytes))).toEqual(request)
})

test('K2 struct kvm_memory_attributes', () => {
  const bytes = memoryAttributes(2 ** 51, 2 ** 34, 8)
  expect(bytes.length).toBe(32)
  const request = { address: 2 ** 51, size: 2 ** 34, attributes: 8, flags: 0 }
  expect(fields(bytes, { address: [0, 8], size: [8, 8], attributes: [16, 8], flags: [24, 8] })).toEqual(
    asBig(request),
  )
  viewOf(bytes).setUint8(24, 1)
  expect(readMemoryAttributes(viewOf(bytes))).toEqual({ ...request, flags: 1 })
})

test('K10 struct gmem_populate (project-own)', () => {
  const bytes = gmemPopulate(2 ** 40, 2 ** 21, 2 ** 46)
  expect(bytes.length).toBe(64)
  const request = { gpa: 2 ** 40, size: 2 ** 21, source: 2 ** 46, flags: 0 }
  expect(fields(bytes, { gpa: [0, 8], size: [8, 8], source: [16, 8], flags: [24, 8] })).toEqual(
    asBig(request),
  )
  expect(readGmemPopulate(viewOf(bytes))).toEqual(request)
})
