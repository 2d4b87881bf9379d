// KVM_HC_MAP_GPA_RANGE through KVM's firmware extension of SBI (project-own carrier; checks and exit as on x86).

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { SbiBase, SbiExtension } from '../hart/sbi.ts'
import { MapFlag } from '../host/mmap.ts'
import { Prot } from '../host/vma.ts'
import { InlineMachine, RAM } from './testing/inline-vcpus.ts'
import { ecall, finish, report, runReporting, SHUTDOWN } from './testing/programs.ts'
import {
  Cap,
  ExitReason,
  HypercallError,
  KVM_HC_MAP_GPA_RANGE,
  KVM_MAP_GPA_RANGE_ENCRYPTED,
  Kvm,
} from './uapi.ts'
import { layouts } from './uapi-layouts.ts'
import { enableCapRequest } from './uapi-structs.ts'

const PAGE = 4096
const MAP_GPA_RANGE = 1 << KVM_HC_MAP_GPA_RANGE

const hypercall = (number: number, ...args: readonly number[]): string =>
  `${ecall(SbiExtension.KVM_HYPERCALL, number, ...args)}${report('a0')}${finish}`

const enable = (machine: InlineMachine, hypercalls: number): number =>
  machine.kvm.ioctl(machine.vmFd, Kvm.ENABLE_CAP, enableCapRequest(Cap.EXIT_HYPERCALL, hypercalls))

const prepared = (...args: readonly number[]): InlineMachine => {
  const machine = new InlineMachine()
  machine.load(hypercall(KVM_HC_MAP_GPA_RANGE, ...args))
  expect(enable(machine, MAP_GPA_RANGE)).toBe(0)
  return machine
}

describe('K13 enabling', () => {
  test('the capability names MAP_GPA_RANGE; any other bit, and flags, are EINVAL', () => {
    const machine = new InlineMachine()
    const { kvm, vmFd } = machine
    expect(kvm.ioctl(vmFd, Kvm.CHECK_EXTENSION, Cap.EXIT_HYPERCALL)).toBe(0x1000)
    expect(enable(machine, MAP_GPA_RANGE | 1)).toBe(-Errno.EINVAL)
    expect(kvm.ioctl(vmFd, Kvm.ENABLE_CAP, enableCapRequest(Cap.EXIT_HYPERCALL, MAP_GPA_RANGE, 1))).toBe(
      -Errno.EINVAL,
    )
    expect([enable(machine, MAP_GPA_RANGE), enable(machine, 0)]).toEqual([0, 0])
  })

  test('the guest finds the extension by BASE probe, enabled or not', () => {
    const machine = new InlineMachine()
    const probe = ecall(SbiExtension.BASE, SbiBase.PROBE, SbiExtension.KVM_HYPERCALL)
    machine.load(`${probe}${report('a1')}${finish}`)
    expect(runReporting(machine).reports).toEqual([1])
  })

  test('not enabled: -KVM_ENOSYS, before the arguments are looked at', () => {
    const machine = new InlineMachine()
    machine.load(hypercall(KVM_HC_MAP_GPA_RANGE, 5, 0, 0))
    expect(runReporting(machine).reports).toEqual([-HypercallError.ENOSYS])
  })
})

describe('K13 checks in the kernel', () => {
  test.each([
    ['an address inside a page', RAM + 8, 1],
    ['no pages', RAM, 0],
    ['pages that wrap', RAM, -1],
  ])('%s: -KVM_EINVAL, and no exit', (_what, gpa, pages) => {
    expect(runReporting(prepared(gpa, pages, 0)).reports).toEqual([-HypercallError.EINVAL])
  })

  test('another hypercall: -KVM_ENOSYS', () => {
    const machine = prepared(RAM, 1, 0)
    machine.load(hypercall(5, RAM, 1, 0))
    expect(runReporting(machine).reports).toEqual([-HypercallError.ENOSYS])
  })
})

describe('K13 the exit', () => {
  test('carries number, arguments as they are, ret 0 and the 64-bit flag, at their places in kvm_run', () => {
    const machine = prepared(RAM + PAGE, 2, 0x123)
    expect(runReporting(machine).exit).toEqual({ result: 0, reason: ExitReason.HYPERCALL })
    const { kvm, fds } = machine
    const mapped = kvm.run(kvm.syscalls.mmap(PAGE, Prot.READ | Prot.WRITE, MapFlag.SHARED, fds[0], 0))
    const bytes = kvm.run(kvm.syscalls.load(hva(mapped), PAGE))
    if (!bytes.ok) throw new Error('kvm_run cannot be read')
    const view = new DataView(bytes.value.buffer)
    const { fields } = layouts.kvm_run
    const words = (at: number, count: number): bigint[] =>
      Array.from({ length: count }, (_, i) => view.getBigUint64(at + 8 * i, true))
    expect(words(fields['hypercall.nr'][0], 1)).toEqual([12n])
    expect(words(fields['hypercall.args'][0], 6)).toEqual([BigInt(RAM + PAGE), 2n, 0x123n, 0n, 0n, 0n])
    expect(words(fields['hypercall.ret'][0], 2)).toEqual([0n, 1n])
  })

  test('the VMM decides: 0 makes the guest’s declared state follow, an errno leaves it; the answer is a0', () => {
    for (const [answer, share] of [
      [0, true],
      [-Errno.EPERM, false],
    ] as const) {
      const machine = prepared(RAM + PAGE, 2, 0)
      const { run } = machine.vcpu()
      machine.run()
      if (answer === 0) machine.kvm.setAttributes(machine.vmFd, RAM + PAGE, 2 * PAGE, 0)
      run.setHypercallReturn(answer)
      const isPrivate = (page: number) => machine.vm.declared?.isPrivate(RAM / PAGE + page)
      expect(isPrivate(1)).toBe(true)
      expect(runReporting(machine).reports).toEqual([answer])
      expect([0, 1, 2, 3].map(isPrivate)).toEqual([true, !share, !share, true])
    }
  })

  test('the encrypted bit asks for private', () => {
    const machine = prepared(RAM + PAGE, 1, KVM_MAP_GPA_RANGE_ENCRYPTED)
    machine.vm.declared?.completeShare(RAM / PAGE + 1, RAM / PAGE + 2)
    machine.run()
    machine.run()
    expect(machine.vm.declared?.isPrivate(RAM / PAGE + 1)).toBe(true)
  })

  test('K9 with immediate_exit the answer is in a0 before the guest goes on', () => {
    const machine = prepared(RAM + PAGE, 1, 0)
    const { run } = machine.vcpu()
    machine.run()
    run.setHypercallReturn(-Errno.EAGAIN)
    run.immediateExit = true
    expect(machine.run()).toBe(-Errno.EINTR)
    run.immediateExit = false
    expect(runReporting(machine).reports).toEqual([-Errno.EAGAIN])
  })

  test('a guest user program cannot call: its ecall is its own kernel’s', () => {
    const machine = new InlineMachine()
    enable(machine, MAP_GPA_RANGE)
    // sret to user mode; the trap vector reports the cause (8: environment call from U) and ends.
    const vector = machine.place(`csrr t0, scause\n${report('t0')}${SHUTDOWN}`, 0x200)
    const user = machine.place(ecall(SbiExtension.KVM_HYPERCALL, KVM_HC_MAP_GPA_RANGE, RAM, 1, 0), 0x300)
    machine.load(
      `li t0, ${vector}\ncsrw stvec, t0\nli t0, ${user}\ncsrw sepc, t0\nli t0, 0x100\ncsrc sstatus, t0\nsret`,
    )
    expect(runReporting(machine)).toEqual({
      reports: [8],
      exit: { result: 0, reason: ExitReason.SYSTEM_EVENT },
    })
  })
})
