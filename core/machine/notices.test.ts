import { expect, test } from 'vitest'
import { DriverFault, GuestMemoryFault } from '../devices/virtio/device-memory.ts'
import type { MachineNotice } from './api.ts'
import { Notices } from './notices.ts'

test('a guest that asks in a loop does not flood the page, and is heard again a second later', () => {
  const sent: MachineNotice[] = []
  let now = 0
  const notices = new Notices(
    (notice) => sent.push(notice),
    () => now,
  )
  for (let i = 0; i < 1000; i++) notices.refused(0, 0x80000000 + 4096 * i, 4096, true)
  expect(sent).toHaveLength(4)
  expect(sent[0].detail).toContain('vCPU 0 asked to share 1 page at 0x80000000;')
  now = 1000
  notices.memoryFault(1, 0x80003000, true, 'EFAULT', true)
  expect(sent).toHaveLength(5)
  expect(sent[4]).toMatchObject({ severity: 'warning', title: 'Memory fault at 0x80003000', gpa: 0x80003000 })
  expect(sent[4].detail).toContain('touched the page as private, its attribute says shared')
})

test('a refused conversion names the page and the remedy, a fault for want of memory or a memory error what ends it', () => {
  const sent: MachineNotice[] = []
  const notices = new Notices(
    (notice) => sent.push(notice),
    () => 0,
  )
  notices.blocked(1, 0x80000000, 4 * 4096, true, 'EAGAIN', 0x80002000)
  expect(sent[0]).toMatchObject({ title: 'Conversion failed with EAGAIN', gpa: 0x80002000 })
  expect(sent[0].detail).toContain('could not make 4 pages at 0x80000000 private for vCPU 1')
  expect(sent[0].detail).toContain('still holds the page at 0x80002000')
  expect(sent[0].detail).toContain('unpin')
  notices.outOfMemory(0, null)
  expect(sent[1]).not.toHaveProperty('gpa')
  expect(sent[1].detail).toContain('no frame is left for a page table')
  notices.outOfMemory(0, 0x80001000)
  expect(sent[2]).toMatchObject({ severity: 'error', gpa: 0x80001000 })
  expect(sent[2].detail).toContain('release the memory pressure')
  notices.poisoned(0, 0x80001000)
  expect(sent[3]).toMatchObject({ title: 'Poisoned page at 0x80001000', gpa: 0x80001000 })
  expect(sent[3].detail).toContain('punch it')
})

test('a device that stops says why, and what to do about private memory', () => {
  const sent: MachineNotice[] = []
  const notices = new Notices(
    (notice) => sent.push(notice),
    () => 0,
  )
  notices.deviceStopped('virtio-blk', new GuestMemoryFault(0x80001000, 'private', 'ENODEV'))
  expect(sent[0]).toMatchObject({ severity: 'error', title: 'virtio-blk needs a reset', gpa: 0x80001000 })
  expect(sent[0].detail).toContain('0x80001000, which is private')
  expect(sent[0].detail).toContain('failed with ENODEV')
  expect(sent[0].detail).toContain('have the guest share the page, or start the machine with shared memory')
  notices.deviceStopped('virtio-rng', new DriverFault('a chain of descriptors is a loop'))
  expect(sent[1]).not.toHaveProperty('gpa')
  expect(sent[1].detail).toContain('broke the rules: a chain of descriptors is a loop.')
  expect(sent[1].detail).not.toContain('shared')
  notices.deviceStopped('virtio-rng', new GuestMemoryFault(0x1000, 'outside', 'EFAULT'))
  expect(sent[2].detail).toContain('0x1000, which is no guest RAM')
  notices.diskFailed(new Error('the quota is used up'))
  expect(sent[3].detail).toBe('the quota is used up. The guest got an I/O error.')
})
