// The checklist of private_mem_kvm_exits_test (tools/testing/selftests/kvm), and the contents of the exit.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva, type Pfn } from '../../base/units.ts'
import { PageType, PG } from '../../host/folio-table.ts'
import { MapFlag } from '../../host/mmap.ts'
import { Prot } from '../../host/vma.ts'
import { InlineMachine } from '../testing/inline-vcpus.ts'
import { DOORBELL, finish, report, runReporting } from '../testing/programs.ts'
import { ExitReason, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEMORY_EXIT_FLAG_PRIVATE, MemFlag } from '../uapi.ts'
import { layouts } from '../uapi-layouts.ts'

const PAGE = 4096
const DATA = 0x90000000
const SLOT = 1
const PRIVATE = KVM_MEMORY_EXIT_FLAG_PRIVATE

/** Reads DATA for ever, and lets the VMM act after every read. */
const spin = `
    li s0, ${DATA}
  loop:
    ld t0, 0x18(s0)
    ${report('t0')}
    j loop
`

const machineWith = (vcpus: number, gmem: boolean, isPrivate = true) => {
  const machine = new InlineMachine(vcpus)
  const { kvm, vmFd, fds } = machine
  const fd = gmem ? kvm.createGmem(vmFd, PAGE) : -1
  const uaddr = kvm.anonymous(PAGE)
  const flags = gmem ? MemFlag.GUEST_MEMFD : 0
  const setSlot = (size: number): number =>
    kvm.setSlot(vmFd, { slot: SLOT, flags, gpa: DATA, size, uaddr, fd })
  expect(setSlot(PAGE)).toBe(0)
  if (isPrivate) kvm.setAttributes(vmFd, DATA, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE)
  for (const id of fds.keys()) machine.vcpu(id).hart.mpState = 0
  /** KVM_RUN fails with this errno, and with the exit that goes with it. */
  const expectFault = (errno: number, memoryFault: unknown, id = 0): void => {
    expect(machine.run(id)).toBe(-errno)
    expect(machine.vcpu(id).run.exitReason).toBe(ExitReason.MEMORY_FAULT)
    expect(machine.vcpu(id).run.memoryFault).toEqual(memoryFault)
  }
  return { machine, kvm, vmFd, fd, uaddr, setSlot, expectFault }
}

describe.each([1, 2])('%i vCPUs', (vcpus) => {
  test('slot deleted while the guest spins on private memory: EFAULT, PRIVATE, page and size exact', () => {
    const { machine, setSlot, expectFault } = machineWith(vcpus, true)
    for (let id = 0; id < vcpus; id++) machine.load(spin, id)
    for (let id = 0; id < vcpus; id++)
      for (let i = 0; i < 3; i++) {
        expect(machine.run(id)).toBe(0)
        expect(machine.vcpu(id).run.mmio).toMatchObject({ gpa: DOORBELL, low: 0 })
      }
    expect(setSlot(0)).toBe(0)
    for (let id = 0; id < vcpus; id++)
      expectFault(Errno.EFAULT, { flags: PRIVATE, gpa: DATA, size: PAGE }, id)
    // The slot is back: the instruction that faulted succeeds.
    expect(setSlot(PAGE)).toBe(0)
    for (let id = 0; id < vcpus; id++) expect(machine.run(id)).toBe(0)
  })

  test('private gfn of a slot without a guest_memfd: the same exit', () => {
    const { machine, expectFault } = machineWith(vcpus, false)
    machine.vm.declared?.completeUnshare(DATA / PAGE, DATA / PAGE + 1)
    for (let id = 0; id < vcpus; id++) machine.load(spin, id)
    for (let id = 0; id < vcpus; id++)
      expectFault(Errno.EFAULT, { flags: PRIVATE, gpa: DATA, size: PAGE }, id)
  })
})

describe('K8 contents', () => {
  test('a shared touch of private memory reports no PRIVATE flag', () => {
    const { machine, expectFault } = machineWith(1, true)
    machine.vm.declared?.completeShare(DATA / PAGE, DATA / PAGE + 1)
    machine.load(spin)
    expectFault(Errno.EFAULT, { flags: 0, gpa: DATA, size: PAGE })
  })

  test('a shared page without host memory: EFAULT, not PRIVATE', () => {
    const { machine, kvm, uaddr, expectFault } = machineWith(1, false, false)
    kvm.run(kvm.syscalls.munmap(uaddr, PAGE))
    machine.load(spin)
    expectFault(Errno.EFAULT, { flags: 0, gpa: DATA, size: PAGE })
  })

  test('a poisoned folio: EHWPOISON, and again at every touch; after a punch there is a new one', () => {
    const { machine, kvm, fd, expectFault } = machineWith(1, true)
    const slot = machine.vm.slotOf(DATA / PAGE)
    if (!slot?.gmem) throw new Error('no guest_memfd')
    const pfn = kvm.run(slot.gmem.getPfn(0, slot))
    kvm.host.buddy.put(pfn)
    kvm.host.memory.folios.set(pfn, PG.hwpoison)
    machine.load(spin)
    expectFault(Errno.EHWPOISON, { flags: PRIVATE, gpa: DATA, size: PAGE })
    expectFault(Errno.EHWPOISON, { flags: PRIVATE, gpa: DATA, size: PAGE })
    kvm.run(kvm.syscalls.fallocate(fd, 3, 0, PAGE))
    expect(machine.run()).toBe(0)
  })

  test('a host without a free frame: ENOMEM, with the exit; with memory again the guest goes on', () => {
    const { machine, kvm, expectFault } = machineWith(1, true)
    // The code has its page and its tables before the host runs out.
    machine.load(`${report('zero')}${spin}`)
    expect(machine.run()).toBe(0)
    const { buddy } = kvm.host
    const taken: Pfn[] = []
    for (let pfn = buddy.tryAlloc(0, PageType.pgtable, 0, 0); pfn >= 0; ) {
      taken.push(pfn as Pfn)
      pfn = buddy.tryAlloc(0, PageType.pgtable, 0, 0)
    }
    expectFault(Errno.ENOMEM, { flags: PRIVATE, gpa: DATA, size: PAGE })
    for (const pfn of taken) buddy.free(pfn, 0)
    expect(machine.run()).toBe(0)
    expect(machine.vcpu().run.exitReason).toBe(ExitReason.MMIO)
  })
})

describe('K2 through the mapping of the vCPU descriptor, at the kernel’s offsets', () => {
  const mapRun = (machine: InlineMachine) => {
    const { kvm, fds } = machine
    const address = kvm.run(kvm.syscalls.mmap(PAGE, Prot.READ | Prot.WRITE, MapFlag.SHARED, fds[0], 0))
    const at = (name: keyof typeof layouts.kvm_run.fields): number =>
      address + layouts.kvm_run.fields[name][0]
    const read = (name: keyof typeof layouts.kvm_run.fields): bigint => {
      const loaded = kvm.run(kvm.syscalls.load(hva(at(name)), layouts.kvm_run.fields[name][1]))
      if (!loaded.ok) throw new Error('kvm_run cannot be read')
      return loaded.value.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n)
    }
    const write = (name: keyof typeof layouts.kvm_run.fields, bytes: readonly number[]): void => {
      kvm.run(kvm.syscalls.store(hva(at(name)), Uint8Array.from(bytes)))
    }
    return { read, write }
  }

  test('a memory fault', () => {
    const { machine, setSlot } = machineWith(1, true)
    machine.load(spin)
    const { read } = mapRun(machine)
    setSlot(0)
    expect(machine.run()).toBe(-Errno.EFAULT)
    expect(read('exit_reason')).toBe(39n)
    expect([read('memory_fault.flags'), read('memory_fault.gpa'), read('memory_fault.size')]).toEqual([
      8n,
      BigInt(DATA),
      4096n,
    ])
  })

  test('an MMIO load, answered through the mapping; immediate_exit is a byte of it', () => {
    const { machine } = machineWith(1, false, false)
    machine.load(`li s0, 0x2000\nlhu t0, 6(s0)\n${report('t0')}${finish}`)
    const { read, write } = mapRun(machine)
    expect(machine.run()).toBe(0)
    expect(read('exit_reason')).toBe(6n)
    expect([read('mmio.phys_addr'), read('mmio.len'), read('mmio.is_write')]).toEqual([0x2006n, 2n, 0n])
    write('mmio.data', [0x34, 0x12])
    write('immediate_exit', [1])
    expect(machine.run()).toBe(-Errno.EINTR)
    write('immediate_exit', [0])
    expect(runReporting(machine).reports).toEqual([0x1234])
    expect([read('mmio.phys_addr'), read('mmio.is_write')]).toEqual([0x1008n, 1n])
  })
})

describe('facts of KVM_RUN', () => {
  test('an argument is EINVAL; a pending signal is EINTR with INTR; immediate_exit changes no exit', () => {
    const { machine, setSlot } = machineWith(1, true)
    machine.load(spin)
    setSlot(0)
    expect(machine.run()).toBe(-Errno.EFAULT)
    const { run } = machine.vcpu()
    run.immediateExit = true
    expect([machine.run(), run.exitReason]).toEqual([-Errno.EINTR, ExitReason.MEMORY_FAULT])
    run.immediateExit = false
    machine.vcpu().hart.signal()
    expect([machine.run(), run.exitReason]).toEqual([-Errno.EINTR, ExitReason.INTR])
    // One signal, one EINTR.
    expect([machine.run(), run.exitReason]).toEqual([-Errno.EFAULT, ExitReason.MEMORY_FAULT])
  })
})
