// The checklist of pre_fault_memory_test (tools/testing/selftests/kvm), for shared and for private memory, on RISC-V.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva } from '../../base/units.ts'
import { vcpuStatOffset } from '../../hart/vcpu-stats.ts'
import { type HostProfile, profileByName } from '../profiles.ts'
import { InlineMachine } from '../testing/inline-vcpus.ts'
import { finish, report, runReporting } from '../testing/programs.ts'
import { Cap, ExitReason, KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, MemFlag, memoryRegion2 } from '../uapi.ts'
import { preFaultRequest, readPreFault } from '../uapi-structs.ts'

const PAGE = 4096
const DATA = 0x90000000
const SIZE = 0x200000
const SLOT = 1

/** A machine with a slot of 2 MiB, private or shared, and the calls of the test. */
const machineWith = (isPrivate: boolean, profile?: HostProfile) => {
  const machine = new InlineMachine(1, profile ? { profile } : {})
  const { kvm, vmFd, fds, vm } = machine
  const fd = isPrivate ? kvm.createGmem(vmFd, SIZE) : -1
  const uaddr = kvm.anonymous(SIZE)
  const region = (size: number) => ({
    slot: SLOT,
    flags: isPrivate ? MemFlag.GUEST_MEMFD : 0,
    guestPhysAddr: DATA,
    memorySize: size,
    userspaceAddr: uaddr,
    guestMemfd: fd,
    guestMemfdOffset: 0,
  })
  const setSlot = (size = SIZE) =>
    kvm.syscalls.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION2, memoryRegion2(region(size)))
  expect(kvm.run(setSlot())).toBe(0)
  if (isPrivate) kvm.setAttributes(vmFd, DATA, SIZE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  const preFault = (gpa: number, size: number, flags = 0) => {
    const bytes = preFaultRequest(gpa, size, flags)
    const result = kvm.ioctl(fds[0], Kvm.PRE_FAULT_MEMORY, bytes)
    const left = readPreFault(new DataView(bytes.buffer))
    return { result, gpa: left.gpa, size: left.size }
  }
  const mapped = (page: number) => vm.stage2.leaf(DATA / PAGE + page)
  return { machine, kvm, vm, uaddr, setSlot, preFault, mapped }
}

describe.each([
  ['shared', false],
  ['private', true],
])('%s memory', (_kind, isPrivate) => {
  test('2 MiB: 0, nothing left, the address advanced; the guest then reads every page without an exit', () => {
    const { machine, preFault, vm, uaddr, kvm } = machineWith(isPrivate)
    if (!isPrivate) kvm.run(kvm.syscalls.store(hva(uaddr), Uint8Array.of(3)))
    expect(preFault(DATA, SIZE)).toEqual({ result: 0, gpa: DATA + SIZE, size: 0 })
    expect(vm.stage2.leaf(DATA / PAGE)).toMatchObject({ private: isPrivate })
    machine.load(`
      li s0, ${DATA}
      li s1, ${DATA + SIZE}
      li s2, ${PAGE}
      li t0, 0
    loop:
      ld t1, 0(s0)
      add t0, t0, t1
      add s0, s0, s2
      bne s0, s1, loop
      ${report('t0')}${finish}`)
    const { registers } = machine.vcpu()
    const faults = registers.float(vcpuStatOffset('guest_page_faults'))
    expect(runReporting(machine).reports).toEqual([isPrivate ? 0 : 3])
    // The code's own page, and the two reports, which are MMIO.
    expect(registers.float(vcpuStatOffset('guest_page_faults')) - faults).toBe(3)
  })

  test('two pages of which the first has memory: 0 with one page left, then ENOENT with one page left', () => {
    const { preFault } = machineWith(isPrivate)
    const last = DATA + SIZE - PAGE
    const first = preFault(last, 2 * PAGE)
    expect(first).toEqual({ result: 0, gpa: DATA + SIZE, size: PAGE })
    expect(preFault(first.gpa, first.size)).toEqual({
      result: -Errno.ENOENT,
      gpa: DATA + SIZE,
      size: PAGE,
    })
  })

  test('outside every slot: ENOENT, nothing advanced', () => {
    const { preFault } = machineWith(isPrivate)
    for (const gpa of [DATA + SIZE, 2 ** 40, 2 ** 60])
      expect(preFault(gpa, 2 * PAGE)).toEqual({ result: -Errno.ENOENT, gpa, size: 2 * PAGE })
  })

  test('an error or progress, never both; a signal is EINTR, and trying again goes on', () => {
    const { machine, preFault } = machineWith(isPrivate)
    machine.vcpu().hart.signal()
    expect(preFault(DATA, 2 * PAGE)).toEqual({ result: -Errno.EINTR, gpa: DATA, size: 2 * PAGE })
    expect(preFault(DATA, 2 * PAGE)).toEqual({ result: 0, gpa: DATA + 2 * PAGE, size: 0 })
  })

  test('a slot deleted and recreated at every step of it: EAGAIN or less than asked, in the end 0', () => {
    const seen = new Set<number>()
    for (let at = 0; at < 60; at++) {
      const { kvm, machine, vm, setSlot } = machineWith(isPrivate)
      const { scheduler } = kvm.host
      const recreate = scheduler.spawn(
        'recreate',
        (function* () {
          yield* setSlot(0)
          return yield* setSlot()
        })(),
      )
      for (let i = 0; i < at && !recreate.done; i++) if (recreate.runnable) scheduler.step(recreate)
      const bytes = preFaultRequest(DATA, 4 * PAGE)
      const view = new DataView(bytes.buffer)
      for (;;) {
        const before = readPreFault(view)
        const result = kvm.ioctl(machine.fds[0], Kvm.PRE_FAULT_MEMORY, bytes)
        const { size } = readPreFault(view)
        expect(result === 0).toBe(size !== before.size)
        seen.add(result)
        if (result === 0 && size === 0) break
        if (recreate.runnable && !recreate.done) scheduler.step(recreate)
      }
      while (!recreate.done) scheduler.step(recreate)
      expect(recreate.value).toBe(0)
      expect(kvm.ioctl(machine.fds[0], Kvm.PRE_FAULT_MEMORY, preFaultRequest(DATA, SIZE))).toBe(0)
      expect(vm.stage2.leaf(DATA / PAGE + 511)).not.toBeNull()
    }
    // While there is no slot: nothing there, or, for a private gfn, a memory fault.
    const noSlot = isPrivate ? -Errno.EFAULT : -Errno.ENOENT
    expect([...seen].sort()).toEqual([-Errno.EAGAIN, noSlot, 0].sort())
  })
})

describe('K1 errno order', () => {
  // Compared with Linux 6.18 on x86-64.
  test.each([
    ['flags', DATA, PAGE, 1],
    ['flags before alignment', DATA + 1, PAGE, 1],
    ['an unaligned address', DATA + 1, PAGE, 0],
    ['no size', DATA, 0, 0],
    ['an unaligned size', DATA, 100, 0],
    ['a range that wraps to 0', 2 ** 64 - PAGE, PAGE, 0],
  ])('EINVAL: %s; the structure comes back as it was', (_what, gpa, size, flags) => {
    const { preFault } = machineWith(false)
    expect(preFault(gpa % 2 ** 64, size, flags)).toEqual({ result: -Errno.EINVAL, gpa, size })
  })

  test('EFAULT: the structure cannot be read', () => {
    const { machine, kvm } = machineWith(false)
    expect(kvm.ioctl(machine.fds[0], Kvm.PRE_FAULT_MEMORY, 8)).toBe(-Errno.EFAULT)
  })

  test('the structure is copied back: a read-only one is EFAULT, with the memory mapped', () => {
    const { machine, kvm, mapped } = machineWith(false)
    const address = kvm.anonymous(PAGE)
    kvm.run(kvm.syscalls.store(hva(address), preFaultRequest(DATA, PAGE)))
    kvm.run(kvm.syscalls.mprotect(address, PAGE, 1))
    expect(kvm.ioctl(machine.fds[0], Kvm.PRE_FAULT_MEMORY, address)).toBe(-Errno.EFAULT)
    expect(mapped(0)).not.toBeNull()
  })

  test('EFAULT: a page that is not as the guest declared it, in kvm_run as of a fault', () => {
    const { machine, preFault, kvm } = machineWith(true)
    kvm.setAttributes(machine.vmFd, DATA, PAGE, 0)
    expect(preFault(DATA, PAGE).result).toBe(-Errno.EFAULT)
    expect(machine.vcpu().run.exitReason).toBe(ExitReason.MEMORY_FAULT)
    expect(machine.vcpu().run.memoryFault).toEqual({ flags: 8, gpa: DATA, size: PAGE })
  })

  test('EFAULT: no host memory behind the slot', () => {
    const { preFault, kvm, uaddr } = machineWith(false)
    kvm.run(kvm.syscalls.munmap(uaddr, SIZE))
    expect(preFault(DATA, PAGE)).toEqual({ result: -Errno.EFAULT, gpa: DATA, size: PAGE })
  })

  test('mapped as by a read: under dirty logging the page stays clean and read-only', () => {
    const { preFault, mapped, machine, kvm, uaddr } = machineWith(false)
    kvm.setSlot(machine.vmFd, { slot: SLOT, flags: MemFlag.LOG_DIRTY_PAGES, gpa: DATA, size: SIZE, uaddr })
    expect(preFault(DATA, PAGE).result).toBe(0)
    expect(mapped(0)).toMatchObject({ writable: false })
  })
})

describe('K3 by profile', () => {
  const answers = (name: string) => {
    const { machine, preFault, kvm } = machineWith(false, profileByName(name))
    return [kvm.ioctl(machine.vmFd, Kvm.CHECK_EXTENSION, Cap.PRE_FAULT_MEMORY), preFault(DATA, PAGE).result]
  }

  test('preFault: an unknown ioctl before 6.11', () => {
    expect(answers('riscv-6.8')).toEqual([0, -Errno.EINVAL])
    expect(answers('riscv-6.11')).toEqual([1, 0])
  })

  test('secondStagePaging: without it the capability is 0 and nothing can be faulted ahead', () => {
    const profile = { ...profileByName('riscv-7.2'), secondStagePaging: false }
    const { machine, preFault, kvm } = machineWith(false, profile)
    expect(kvm.ioctl(machine.vmFd, Kvm.CHECK_EXTENSION, Cap.PRE_FAULT_MEMORY)).toBe(0)
    expect(preFault(DATA, PAGE)).toEqual({ result: -Errno.EOPNOTSUPP, gpa: DATA, size: PAGE })
    expect(preFault(DATA, 100).result).toBe(-Errno.EINVAL)
  })
})
