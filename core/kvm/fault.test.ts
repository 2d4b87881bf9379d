import { expect, test } from 'vitest'
import { gpa } from '../base/units.ts'
import { STAGE2_GFNS } from '../hart/stage2.ts'
import { MemoryHog } from '../host/pressure.ts'
import { handleGuestFault } from './fault.ts'
import { checkInvariants } from './invariants.ts'
import { hostProfile } from './profiles.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, MemFlag } from './uapi.ts'

const PAGE = 4096
const RAM = 0x80000000

test('K17 a fault that finds memory for one table of two gives that one back', () => {
  const kvm = new KvmHost()
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, PAGE)
  kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: PAGE, fd: gmem })
  expect(kvm.setAttributes(fd, RAM, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0)
  expect(kvm.run(kvm.syscalls.fallocate(gmem, 1, 0, PAGE))).toBe(0)
  const hog = new MemoryHog(kvm.host)
  kvm.run(hog.keepFree(1))
  const fault = () => kvm.run(handleGuestFault(vm, gpa(RAM), 'write'))
  for (let attempt = 0; attempt < 3; attempt++) {
    expect(fault()).toEqual({ kind: 'error', errno: 'ENOMEM' })
    expect([kvm.host.buddy.freeFrames, vm.stage2.tablePages]).toEqual([1, 4])
  }
  kvm.run(hog.keepFree(2))
  expect(fault()).toEqual({ kind: 'resume' })
  expect(vm.stage2.leaf(RAM / PAGE)).not.toBeNull()
  expect(checkInvariants({ host: kvm.host, vms: kvm.system.vms })).toEqual([])
})

test('K18 a gfn that Sv39x4 does not reach is not taken for the one that its low bits name', () => {
  const kvm = new KvmHost({ profile: hostProfile('x86', '7.2') })
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, 2 * PAGE)
  const far = RAM + STAGE2_GFNS * PAGE
  kvm.setSlot(fd, { slot: 0, flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: PAGE, fd: gmem })
  expect(
    kvm.setSlot(fd, { slot: 1, flags: MemFlag.GUEST_MEMFD, gpa: far, size: PAGE, fd: gmem, offset: PAGE }),
  ).toBe(0)
  for (const at of [RAM, far]) kvm.setAttributes(fd, at, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  expect(kvm.run(handleGuestFault(vm, gpa(RAM), 'write'))).toEqual({ kind: 'resume' })
  const near = vm.stage2.leaf(RAM / PAGE)
  expect(near).not.toBeNull()
  expect(kvm.run(handleGuestFault(vm, gpa(far), 'write'))).toEqual({ kind: 'error', errno: 'ENOMEM' })
  expect([vm.stage2.leaf(far / PAGE), vm.stage2.leaf(RAM / PAGE), vm.stage2.mapped]).toEqual([null, near, 1])
})
