// The checklist of set_memory_region_test (tools/testing/selftests/kvm), with real guest code on RISC-V vCPUs.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva } from '../../base/units.ts'
import { Vcpu } from '../../engine/vcpu-block.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { checkInvariants } from '../invariants.ts'
import { OneReg } from '../one-reg.ts'
import { profileByName } from '../profiles.ts'
import { InlineMachine, RAM } from '../testing/inline-vcpus.ts'
import { KvmHost } from '../testing/kvm-host.ts'
import { DOORBELL, finish, race, report, runReporting } from '../testing/programs.ts'
import { Cap, ExitReason, Kvm, MemFlag, type MemoryRegion, memoryRegion2 } from '../uapi.ts'

const PAGE = 4096
const DATA = 0x90000000
const SLOT = 10
const GMEM_PAGES = 4
const { GUEST_MEMFD, LOG_DIRTY_PAGES, READONLY } = MemFlag

const region = (fields: Partial<MemoryRegion>): Uint8Array =>
  memoryRegion2({
    slot: SLOT,
    flags: 0,
    guestPhysAddr: DATA,
    memorySize: GMEM_PAGES * PAGE,
    userspaceAddr: 0,
    guestMemfdOffset: 0,
    guestMemfd: -1,
    ...fields,
  })

const vmWithGmem = () => {
  const kvm = new KvmHost({ bytes: 32 * 2 ** 20 })
  const { fd: vmFd } = kvm.createVm(1)
  const fd = kvm.createGmem(vmFd, GMEM_PAGES * PAGE)
  const set = (fields: Partial<MemoryRegion>): number =>
    kvm.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION2, region(fields))
  const setV1 = (fields: Partial<MemoryRegion>): number =>
    kvm.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION, region(fields).slice(0, 32))
  return { kvm, vmFd, fd, set, setV1 }
}

const bits = (from: number): number[] => Array.from({ length: 32 - from }, (_, i) => 2 ** (from + i))

describe('flags', () => {
  test('version 1 refuses the flag of version 2 and unknown ones', () => {
    const { setV1, fd } = vmWithGmem()
    for (const flags of bits(2)) expect(setV1({ flags, guestMemfd: fd })).toBe(-Errno.EINVAL)
    expect(setV1({ flags: LOG_DIRTY_PAGES })).toBe(0)
  })

  test('version 2 refuses unknown ones', () => {
    const { set, fd } = vmWithGmem()
    for (const flags of bits(3)) expect(set({ flags, guestMemfd: fd })).toBe(-Errno.EINVAL)
  })

  test.each([
    ['LOG_DIRTY_PAGES', LOG_DIRTY_PAGES],
    ['READONLY', READONLY],
  ])('GUEST_MEMFD with %s: EINVAL', (_name, flag) => {
    const { set, fd } = vmWithGmem()
    expect(set({ flags: GUEST_MEMFD | flag, guestMemfd: fd })).toBe(-Errno.EINVAL)
    expect(set({ flags: GUEST_MEMFD, guestMemfd: fd })).toBe(0)
  })
})

test.each(['riscv-7.2', 'x86-6.18'])('%s: as many slots as NR_MEMSLOTS says, and not one more', (profile) => {
  const kvm = new KvmHost({ profile: profileByName(profile), bytes: 32 * 2 ** 20 })
  const { fd } = kvm.createVm(0)
  const slots = kvm.ioctl(fd, Kvm.CHECK_EXTENSION, Cap.NR_MEMSLOTS)
  expect(slots).toBeGreaterThan(32)
  const set = (slot: number) => kvm.setSlot(fd, { slot, gpa: slot * PAGE, size: PAGE })
  for (let slot = 0; slot < slots; slot++) if (set(slot) !== 0) throw new Error(`slot ${slot} was refused`)
  expect(set(slots)).toBe(-Errno.EINVAL)
})

describe('guest_memfd', () => {
  test('a KVM descriptor, a VM descriptor, a memfd and the file of another VM are no guest_memfd of this one', () => {
    const { kvm, vmFd, set } = vmWithGmem()
    const other = kvm.createVm(1).fd
    const memfd = kvm.syscalls.memfd('memfd', 2 ** 20)
    for (const guestMemfd of [kvm.kvm, vmFd, memfd, kvm.createGmem(other, GMEM_PAGES * PAGE)])
      expect(set({ flags: GUEST_MEMFD, guestMemfd })).toBe(-Errno.EINVAL)
  })

  test('an offset that is not page aligned: EINVAL', () => {
    const { set, fd } = vmWithGmem()
    for (const guestMemfdOffset of [1, 8, PAGE - 1])
      expect(set({ flags: GUEST_MEMFD, guestMemfd: fd, guestMemfdOffset, memorySize: PAGE })).toBe(
        -Errno.EINVAL,
      )
  })

  test('bindings that overlap in front, behind or wholly: EEXIST; an overlapping GPA: EEXIST', () => {
    const { set, fd } = vmWithGmem()
    const bind = (slot: number, gpa: number, offset: number, pages: number): number =>
      set({
        slot,
        flags: GUEST_MEMFD,
        guestPhysAddr: gpa,
        memorySize: pages * PAGE,
        guestMemfd: fd,
        guestMemfdOffset: offset * PAGE,
      })
    expect(bind(1, DATA, 1, 2)).toBe(0)
    expect([
      bind(2, DATA + 0x100000, 0, 2),
      bind(2, DATA + 0x100000, 2, 2),
      bind(2, DATA + 0x100000, 1, 2),
      bind(2, DATA + 0x100000, 0, 4),
    ]).toEqual([-Errno.EEXIST, -Errno.EEXIST, -Errno.EEXIST, -Errno.EEXIST])
    expect(bind(2, DATA + PAGE, 3, 1)).toBe(-Errno.EEXIST)
    expect([bind(2, DATA + 2 * PAGE, 3, 1), bind(3, DATA - PAGE, 0, 1)]).toEqual([0, 0])
  })

  test('after deleting, size 0 with the flag set, the range can be bound again', () => {
    const { set, fd } = vmWithGmem()
    const slot = { flags: GUEST_MEMFD, guestMemfd: fd }
    expect(set(slot)).toBe(0)
    expect(set({ ...slot, memorySize: 0 })).toBe(0)
    expect(set({ ...slot, slot: SLOT + 1 })).toBe(0)
  })
})

/** A machine whose vCPUs read the first word of DATA for ever and report it; and all they have reported. */
const spinning = (vcpus: number, mmio: number) => {
  const machine = new InlineMachine(vcpus, { bytes: 8 * 2 ** 20 })
  const { kvm, vmFd } = machine
  const uaddr = kvm.anonymous(2 * PAGE)
  const put = (page: number, value: number): void => {
    kvm.run(kvm.syscalls.store(hva(uaddr + page * PAGE), Uint8Array.of(value)))
  }
  const set = (gpa: number, pages: number, userspaceAddr = uaddr) =>
    kvm.syscalls.ioctl(
      vmFd,
      Kvm.SET_USER_MEMORY_REGION2,
      region({ guestPhysAddr: gpa, memorySize: pages * PAGE, userspaceAddr }),
    )
  const seen: number[][] = machine.fds.map(() => [])
  for (const id of machine.fds.keys()) {
    machine.load(`li s0, ${DATA}\nloop:\nld t0, 0(s0)\n${report('t0')}j loop`, id)
    machine.vcpu(id).hart.mpState = 0
  }
  /** Answers an exit; a vCPU stops once the VMM is done and it has reported twice more. */
  const left = machine.fds.map(() => 2)
  const exited = (id: number, result: number, vmmDone: boolean): boolean => {
    expect(result).toBe(0)
    const { run } = machine.vcpu(id)
    expect(run.exitReason).toBe(ExitReason.MMIO)
    const { gpa, write, low } = run.mmio
    if (!write) {
      expect(gpa).toBe(DATA)
      run.setMmioData(mmio, 0)
      return true
    }
    expect(gpa).toBe(DOORBELL)
    seen[id].push(low)
    return !vmmDone || left[id]-- > 0
  }
  return { machine, kvm, uaddr, put, set, seen, exited }
}

/** What was seen, without repetitions. */
const phases = (values: readonly number[]): number[] => values.filter((value, i) => value !== values[i - 1])

const MMIO = 0x55
const SEEDS = 40

describe.each([1, 2])('%i vCPUs running', (vcpus) => {
  test('a slot moves while they read it: the old value, the new value or an MMIO exit, and nothing else', () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const { machine, kvm, put, set, seen, exited } = spinning(vcpus, MMIO)
      put(0, 1)
      put(1, 2)
      expect(kvm.run(set(DATA, 2))).toBe(0)
      // A page down: DATA now shows the second page.
      expect(race(machine, set(DATA - PAGE, 2), seed, exited)).toBe(0)
      for (const values of seen) {
        expect(['1,2', '1,85,2', '85,2', '2']).toContain(phases(values).join())
        expect(values.at(-1)).toBe(2)
      }
      expect(checkInvariants({ host: kvm.host, vms: [machine.vm] })).toEqual([])
    }
  })

  test('a slot is deleted and made anew while they read it: an MMIO exit, then the zero page', () => {
    let mmio = 0
    for (let seed = 0; seed < SEEDS; seed++) {
      const { machine, kvm, put, set, seen, exited } = spinning(vcpus, MMIO)
      put(0, 1)
      const fresh = kvm.anonymous(PAGE)
      expect(kvm.run(set(DATA, 1))).toBe(0)
      const vmm = function* (): KernelTask<number> {
        const deleted = yield* set(DATA, 0)
        // The VMM waits until every vCPU has met the hole.
        if (deleted === 0)
          yield { at: 'vmm/wait', until: () => seen.every((values) => values.includes(MMIO)) }
        return deleted || (yield* set(DATA, 1, fresh))
      }
      expect(race(machine, vmm(), seed, exited)).toBe(0)
      for (const values of seen) {
        expect(['1,85,0', '85,0']).toContain(phases(values).join())
        if (values.includes(MMIO)) mmio++
      }
    }
    expect(mmio).toBe(SEEDS * vcpus)
  })
})

describe('nothing to run', () => {
  // x86 answers INTERNAL_ERROR or SHUTDOWN: it emulates the fetch, or finds its descriptors gone. KVM on RISC-V emulates
  // loads and stores only and fails a fetch with EOPNOTSUPP.
  test('no slots at all: KVM_RUN fails, and the vCPU is as it was', () => {
    const machine = new InlineMachine()
    const { kvm, vmFd } = machine
    expect(kvm.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION2, region({ slot: 0, memorySize: 0 }))).toBe(0)
    const { oneReg } = machine.vcpu()
    oneReg.set(OneReg.PC, BigInt(DATA))
    expect(machine.run()).toBe(-Errno.EOPNOTSUPP)
    expect(oneReg.get(OneReg.PC)).toBe(BigInt(DATA))
  })

  test('no slots at all, and the guest believes it runs from private memory: a memory fault of its page', () => {
    const machine = new InlineMachine()
    const { kvm, vmFd } = machine
    machine.load('nop')
    expect(kvm.ioctl(vmFd, Kvm.SET_USER_MEMORY_REGION2, region({ slot: 0, memorySize: 0 }))).toBe(0)
    expect(machine.run()).toBe(-Errno.EFAULT)
    expect(machine.vcpu().run.memoryFault).toEqual({ flags: 8, gpa: RAM, size: PAGE })
  })
})

// x86 pushes an exception frame, and a stack in a hole is INTERNAL_ERROR DELIVERY_EV with the address in data[3]. RISC-V
// delivers into registers: what touches memory at a trap are the fetch of the vector and the walk of its page tables.
describe('MMIO where an event is delivered', () => {
  const HOLE = 0x3000

  test('the trap vector lies in a hole: EOPNOTSUPP, with the trap taken and its cause in scause', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, ${HOLE}\ncsrw stvec, t0\n.word 0`)
    expect(machine.run()).toBe(-Errno.EOPNOTSUPP)
    const { registers } = machine.vcpu()
    expect([registers.number(Vcpu.PC), registers.number(Vcpu.SCAUSE)]).toEqual([HOLE, 2])
    expect(registers.number(Vcpu.EXIT_GPA)).toBe(HOLE)
  })

  test('the page table lies in a hole: EOPNOTSUPP, never an MMIO exit for the walk', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, 1\nslli t0, t0, 63\nori t0, t0, ${HOLE / PAGE}\ncsrw satp, t0\nnop`)
    expect(machine.run()).toBe(-Errno.EOPNOTSUPP)
    expect(machine.vcpu().registers.number(Vcpu.EXIT_GPA)).toBe(HOLE + 16)
  })

  test('data in a hole is emulated from the same vector once it lies in memory', () => {
    const machine = new InlineMachine()
    const vector = machine.place(`li t1, ${HOLE}\nlw t2, 0(t1)\n${report('t2')}${finish}`, 0x200)
    machine.load(`li t0, ${vector}\ncsrw stvec, t0\n.word 0`)
    const loads = (gpa: number): number | null => (gpa === HOLE ? 7 : null)
    expect(runReporting(machine, 0, loads).reports).toEqual([7])
  })
})
