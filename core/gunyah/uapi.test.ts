import { expect, test } from 'vitest'
import { GunyahRun, Resume, VcpuExit } from './run-page.ts'
import { Gunyah, mapMemArgs, memFlags, readMapMemArgs } from './uapi.ts'

test('Y1 ioctl numbers are _IO and _IOW of type G', () => {
  expect(Gunyah).toEqual({
    CREATE_VM: 0x4700,
    CREATE_GUEST_MEM: 0x40404708,
    VM_SET_DTB_CONFIG: 0x40104702,
    VM_START: 0x4703,
    VM_ADD_FUNCTION: 0x40104704,
    VM_REMOVE_FUNCTION: 0x40104707,
    VM_MAP_MEM: 0x40204709,
    VM_SET_BOOT_CONTEXT: 0x4010470a,
    VCPU_RUN: 0x4705,
    VCPU_MMAP_SIZE: 0x4706,
  })
})

test('Y1 the two numberings of the MAP_MEM flags have every meaning, and share no access bits', () => {
  const { posted, android } = memFlags
  expect(posted.READ | posted.WRITE | posted.EXEC).toBe(0x70)
  expect(android.READ | android.WRITE | android.EXEC).toBe(7)
  expect(posted.ACCESS_MASK & (posted.FORCE_LEND | posted.FORCE_SHARE)).toBe(3)
  expect(android.ACCESS_MASK & (android.FORCE_LEND | android.FORCE_SHARE)).toBe(0x30)
  expect(posted.UNMAP).toBe(android.UNMAP)
})

test('Y1 struct gunyah_map_mem_args goes there and back', () => {
  const args = { guestAddr: 0x8000_1000, flags: 0x171, fd: 5, offset: 0x2000, size: 0x3000 }
  const bytes = mapMemArgs(args)
  expect(bytes.length).toBe(32)
  expect(readMapMemArgs(new DataView(bytes.buffer))).toEqual(args)
  expect([...bytes.subarray(0, 16)]).toEqual([0, 0x10, 0, 0x80, 0, 0, 0, 0, 0x71, 1, 0, 0, 5, 0, 0, 0])
})

test('Y1 the run page has its fields where the structure has them', () => {
  const page = new Uint8Array(4096)
  const view = new DataView(page.buffer)
  const run = new GunyahRun(page)
  run.setMmio(0x1234, 4, true, -2, 0)
  expect(view.getUint32(8, true)).toBe(VcpuExit.MMIO)
  expect([view.getUint32(16, true), view.getInt32(24, true), view.getUint32(32, true)]).toEqual([
    0x1234, -2, 4,
  ])
  expect([view.getUint8(36), view.getUint8(37)]).toEqual([1, Resume.HANDLED])
  run.setStatus(2, 1, 7)
  expect([view.getUint32(16, true), view.getUint16(20, true)]).toEqual([2, 1])
  expect([view.getUint32(24, true), view.getUint8(28)]).toEqual([4, 7])
  run.setPageFault(0x5000, -2)
  expect([view.getUint32(16, true), view.getInt32(24, true), view.getUint8(28)]).toEqual([
    0x5000,
    -2,
    Resume.FAULT,
  ])
  view.setUint8(0, 1)
  expect(run.immediateExit).toBe(true)
})
