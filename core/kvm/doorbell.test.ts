// The doorbell (project-own): conversions that guest user space asks for by MMIO, with the checks of COVG.

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { SbiError } from '../hart/sbi.ts'
import { DoorbellCall } from './doorbell.ts'
import { InlineMachine, type InlineMachineOptions, RAM } from './testing/inline-vcpus.ts'
import { finish, report, runReporting } from './testing/programs.ts'
import { Cap, ExitReason, Kvm } from './uapi.ts'
import { enableCapRequest } from './uapi-structs.ts'

const PAGE = 4096
const BASE = 0x10200000

const enable = (machine: InlineMachine, base: number, flags = 0): number =>
  machine.kvm.ioctl(machine.vmFd, Kvm.ENABLE_CAP, enableCapRequest(Cap.GMEM_DOORBELL, base, flags))

const store = (offset: number, value: number): string => `li t0, ${value}\nsd t0, ${offset}(s0)\n`

/** A program that asks by the register at `call` and reports the answer. */
const asking = (gpa: number, size: number, call: number, load = 'ld'): string =>
  `li s0, ${BASE}\n${store(DoorbellCall.GPA, gpa)}${store(DoorbellCall.SIZE, size)}
  ${load} a1, ${call}(s0)\n${report('a1')}${finish}`

const prepared = (source: string, options: InlineMachineOptions = {}): InlineMachine => {
  const machine = new InlineMachine(1, options)
  machine.load(source)
  expect(enable(machine, BASE)).toBe(0)
  return machine
}

/** Runs up to the exit that is the call: the two stores before it exit, too, and are nobody's. */
const runToCall = (machine: InlineMachine): { gpa: number; write: boolean; length: number } => {
  const { run } = machine.vcpu()
  for (;;) {
    expect(machine.run()).toBe(0)
    expect(run.exitReason).toBe(ExitReason.MMIO)
    if (!run.mmio.write) return run.mmio
  }
}

describe('K19 enabling', () => {
  test('only where the guest declares what is private; flags and a place that is no page’s are EINVAL', () => {
    const machine = new InlineMachine()
    const check = (one: InlineMachine): number =>
      one.kvm.ioctl(one.vmFd, Kvm.CHECK_EXTENSION, Cap.GMEM_DOORBELL)
    expect(check(machine)).toBe(1)
    expect(machine.kvm.ioctl(machine.kvm.kvm, Kvm.CHECK_EXTENSION, Cap.GMEM_DOORBELL)).toBe(0)
    const bad = [enable(machine, BASE, 1), enable(machine, BASE + 8), enable(machine, 2 ** 41)]
    expect(bad).toEqual([-Errno.EINVAL, -Errno.EINVAL, -Errno.EINVAL])
    expect(enable(machine, BASE)).toBe(0)
    const shared = new InlineMachine(1, { vmType: 0 })
    expect([check(shared), enable(shared, BASE)]).toEqual([0, -Errno.EINVAL])
  })

  test('not enabled, a load there is any MMIO', () => {
    const machine = new InlineMachine()
    machine.load(asking(RAM + PAGE, PAGE, DoorbellCall.SHARE))
    expect(runToCall(machine)).toMatchObject({ gpa: BASE + DoorbellCall.SHARE, length: 8 })
    machine.vcpu().run.setMmioData(0, 0)
    expect(runReporting(machine).reports).toEqual([0])
    expect(machine.vm.declared?.isPrivate(RAM / PAGE + 1)).toBe(true)
  })
})

describe('K19 checks in the kernel: the answer without an exit', () => {
  const { INVALID_ADDRESS, INVALID_PARAM } = SbiError
  test.each([
    ['an address inside a page', RAM + 8, PAGE, DoorbellCall.SHARE, INVALID_ADDRESS],
    ['an address beyond any', -PAGE, PAGE, DoorbellCall.SHARE, INVALID_ADDRESS],
    ['no bytes', RAM, 0, DoorbellCall.SHARE, INVALID_PARAM],
    ['part of a page', RAM, 100, DoorbellCall.SHARE, INVALID_PARAM],
    ['what is no RAM', BASE, PAGE, DoorbellCall.SHARE, INVALID_ADDRESS],
    ['more than RAM', RAM, 17 * PAGE, DoorbellCall.SHARE, INVALID_ADDRESS],
    ['unshare of what is private', RAM, PAGE, DoorbellCall.UNSHARE, INVALID_PARAM],
  ])('%s', (_what, gpa, size, call, error) => {
    const machine = prepared(asking(gpa, size, call))
    const { run } = machine.vcpu()
    // Two stores, then the report of the answer: no exit between them.
    for (const write of [DoorbellCall.GPA, DoorbellCall.SIZE]) {
      machine.run()
      expect(run.mmio).toMatchObject({ gpa: BASE + write, write: true })
    }
    expect(runReporting(machine).reports).toEqual([error])
  })
})

describe('K19 the call', () => {
  test.each([
    ['SUCCESS', SbiError.SUCCESS, false],
    ['DENIED', SbiError.DENIED, true],
  ])('the VMM answers %s: the declared state is what the answer says', (_name, answer, isPrivate) => {
    const machine = prepared(asking(RAM + PAGE, 2 * PAGE, DoorbellCall.SHARE))
    expect(runToCall(machine)).toMatchObject({ gpa: BASE + DoorbellCall.SHARE, length: 8 })
    const declared = (page: number) => machine.vm.declared?.isPrivate(RAM / PAGE + page)
    expect(declared(1)).toBe(true)
    machine.vcpu().run.setMmioData(answer, answer >> 31)
    expect(runReporting(machine).reports).toEqual([answer])
    expect([0, 1, 2, 3].map(declared)).toEqual([true, isPrivate, isPrivate, true])
  })

  test('unshare gives it back', () => {
    const machine = prepared(asking(RAM + PAGE, PAGE, DoorbellCall.UNSHARE))
    machine.vm.declared?.completeShare(RAM / PAGE + 1, RAM / PAGE + 2)
    runToCall(machine)
    machine.vcpu().run.setMmioData(0, 0)
    expect(runReporting(machine).reports).toEqual([0])
    expect(machine.vm.declared?.isPrivate(RAM / PAGE + 1)).toBe(true)
  })

  test('K9 with immediate_exit the answer is there before the guest goes on', () => {
    const machine = prepared(asking(RAM + PAGE, PAGE, DoorbellCall.SHARE))
    runToCall(machine)
    const { run } = machine.vcpu()
    run.setMmioData(0, 0)
    run.immediateExit = true
    expect(machine.run()).toBe(-Errno.EINTR)
    expect(machine.vm.declared?.isPrivate(RAM / PAGE + 1)).toBe(false)
    run.immediateExit = false
    expect(runReporting(machine).reports).toEqual([0])
  })

  test('a load of another width asks for nothing', () => {
    const machine = prepared(asking(RAM + PAGE, PAGE, DoorbellCall.SHARE, 'lw'))
    expect(runToCall(machine)).toMatchObject({ length: 4 })
    machine.vcpu().run.setMmioData(0, 0)
    runReporting(machine)
    expect(machine.vm.declared?.isPrivate(RAM / PAGE + 1)).toBe(true)
  })

  test('the registers are banked: what another vCPU stored is not asked for', () => {
    const machine = new InlineMachine(2)
    enable(machine, BASE)
    machine.load(asking(RAM + PAGE, PAGE, DoorbellCall.SHARE))
    runToCall(machine)
    // Hart 1 loads without having stored: its bank is empty, and an empty range is no request.
    const other = machine.place(
      `li s0, ${BASE}\nld a1, ${DoorbellCall.SHARE}(s0)\n${report('a1')}${finish}`,
      0x400,
    )
    machine.vcpu(1).hart.start(other, 0, 0)
    expect(runReporting(machine, 1).reports).toEqual([SbiError.INVALID_PARAM])
  })
})
