// The VMM on hosts of every version, by its system calls, without a guest that runs.

import { describe, expect, test } from 'vitest'
import { RAM_BASE } from '../devices/memory-map.ts'
import { SbiError } from '../hart/sbi.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import { linuxVersions } from '../kvm/behaviours.ts'
import { Asker } from '../trace/events.ts'
import { answerConversion, CONVERT_ATTEMPTS, convertPatiently } from './conversions.ts'
import { hostConvert, hostPin, hostPunchHole, hostRead, hostUnpin, hostWrite } from './host-actions.ts'
import { InPlace } from './in-place.ts'
import type { KvmVmm } from './kvm-vmm.ts'
import { SharedMemory } from './shared-memory.ts'
import { CODE, FREE, RAM_BYTES, recordingHooks, TestVmm } from './testing/test-vmm.ts'
import { TwoBackings } from './two-backings.ts'

const PAGE = 4096

describe('what RAM is made of follows from what the host can do', () => {
  test.each(linuxVersions)('private, on Linux %s', (version) => {
    const test = new TestVmm(version)
    expect(test.vmm.memory).toBeInstanceOf(version === 'next-in-place' ? InPlace : TwoBackings)
    expect(test.vmm.memory.isPrivate(RAM_BASE)).toBe(true)
    const folio = test.vmm.vm.slotOf(RAM_BASE / PAGE)?.gmem?.inode.folio(1) ?? null
    if (folio === null) throw new Error('the guest is not in the file')
    expect(test.host.memory.frame(folio)).toEqual(CODE.subarray(PAGE, 2 * PAGE))
    expect(test.violations()).toEqual([])
  })

  test.each(linuxVersions)('shared, on Linux %s', (version) => {
    const test = new TestVmm(version, false)
    const { memory } = test.vmm
    expect(memory).toBeInstanceOf(SharedMemory)
    expect(memory.gmemFd >= 0).toBe(!['6.8', '6.11'].includes(version))
    expect(test.run(hostRead(test.vmm, RAM_BASE + 15, 2))).toEqual({
      kind: 'ok',
      value: Uint8Array.of(0, 0x13),
    })
    // Nothing here can be private.
    expect(test.run(hostConvert(test.vmm, FREE, PAGE, true))).toEqual({ kind: 'errno', errno: 'EINVAL' })
    expect(test.violations()).toEqual([])
  })
})

describe('what the host does', () => {
  test('trying to reach a private page leaves no mapping behind', () => {
    const { vmm, run } = bound(new TestVmm('7.2'))
    const before = vmm.process.vmas.all.length
    expect(run(hostRead(vmm, FREE, 1))).toEqual({ kind: 'errno', errno: 'ENODEV' })
    expect(run(hostWrite(vmm, FREE, Uint8Array.of(1)))).toEqual({ kind: 'errno', errno: 'ENODEV' })
    expect(vmm.process.vmas.all).toHaveLength(before)
  })

  test('outside RAM every access is a SIGSEGV and every conversion the guest asks for an invalid address', () => {
    const { vmm, run } = bound(new TestVmm('7.2'))
    const beyond = RAM_BASE + RAM_BYTES
    const fault = { kind: 'signal', signal: 'SIGSEGV', code: 'SEGV_MAPERR' }
    expect(run(hostRead(vmm, beyond, 1))).toEqual(fault)
    expect(run(hostWrite(vmm, beyond - 1, Uint8Array.of(1, 2)))).toEqual(fault)
    for (const [gpa, size] of [
      [beyond, PAGE],
      [RAM_BASE - PAGE, 2 * PAGE],
      [beyond - PAGE, 2 * PAGE],
    ]) {
      const asked = { vcpu: 0, gpa, size, share: false }
      const { told, hooks: accepting } = recordingHooks(true)
      expect(run(answerConversion(vmm, accepting, asked, () => {}))).toBe(SbiError.INVALID_ADDRESS)
      expect(told).toEqual([])
    }
  })

  test('a pin that fails leaves no descriptor open, and one that is dropped none either', () => {
    const { vmm, run } = bound(new TestVmm('next-in-place'))
    const before = vmm.process.fds.open()
    expect(run(hostPin(vmm, FREE))).toEqual({ kind: 'errno', errno: 'EFAULT' })
    expect(vmm.process.fds.open()).toEqual(before)
    run(hostConvert(vmm, FREE, PAGE, false))
    expect(run(hostPin(vmm, FREE + 7)).kind).toBe('ok')
    expect(run(hostPin(vmm, FREE)).kind).toBe('ok')
    expect(vmm.pins.pages).toEqual([FREE])
    expect(run(hostUnpin(vmm, FREE))).toEqual({ kind: 'ok', value: 0 })
    expect(run(hostUnpin(vmm, FREE))).toEqual({ kind: 'errno', errno: 'ENOENT' })
    expect(vmm.process.fds.open()).toEqual(before)
  })

  test('V5 two pins of a page at a time are both dropped by one unpin', () => {
    const machine = new TestVmm('next-in-place')
    const { vmm, run } = bound(machine)
    run(hostConvert(vmm, FREE, PAGE, false))
    run(hostWrite(vmm, FREE, Uint8Array.of(1)))
    const before = vmm.process.fds.open()
    const { scheduler } = machine.host
    scheduler.setMode({ kind: 'shuffle', seed: 1 })
    const pins = [1, 2].map(() => scheduler.spawn('pin', hostPin(vmm, FREE)))
    scheduler.pump()
    expect(pins.map(({ value }) => value?.kind)).toEqual(['ok', 'ok'])
    expect(run(hostConvert(vmm, FREE, PAGE, true))).toMatchObject({ errno: 'EAGAIN' })
    expect(run(hostUnpin(vmm, FREE))).toEqual({ kind: 'ok', value: 0 })
    expect(vmm.process.fds.open()).toEqual(before)
    expect(run(hostConvert(vmm, FREE, PAGE, true))).toEqual({ kind: 'ok', value: 0 })
    expect(machine.violations()).toEqual([])
  })

  test('V8 a hole past the end of RAM leaves what the VMM has mapped behind it', () => {
    const { vmm, run } = bound(new TestVmm('next-in-place'))
    const end = RAM_BASE + RAM_BYTES
    const dropped: [from: number, to: number][] = []
    const madvise = vmm.syscalls.madvise.bind(vmm.syscalls)
    vmm.syscalls.madvise = (start, length, advice) => {
      dropped.push([start, start + length])
      return madvise(start, length, advice)
    }
    expect(run(hostPunchHole(vmm, end - PAGE, 2 * PAGE))).toEqual({ kind: 'ok', value: 0 })
    expect(run(hostPunchHole(vmm, end, PAGE))).toEqual({ kind: 'ok', value: 0 })
    expect(dropped).toEqual([[vmm.memory.hvaOf(end - PAGE), vmm.memory.hvaOf(end)]])
  })

  test.each(['7.2', 'next-in-place'] as const)(
    'V8 the host reads a poisoned page of a file that it maps again once it is punched, on Linux %s',
    (version) => {
      const { vmm, run } = bound(new TestVmm(version, version === 'next-in-place'))
      if (vmm.memory.isPrivate(FREE)) run(hostConvert(vmm, FREE, PAGE, false))
      run(hostWrite(vmm, FREE, Uint8Array.of(1)))
      const pfn = vmm.process.mappedFrame(vmm.memory.hvaOf(FREE))?.pfn
      if (pfn === undefined) throw new Error('the page is not mapped')
      run(memoryFailure(vmm.process.host, pfn))
      expect(run(hostRead(vmm, FREE, 1))).toMatchObject({ signal: 'SIGBUS', code: 'BUS_MCEERR_AR' })
      expect(run(hostPunchHole(vmm, FREE, PAGE))).toEqual({ kind: 'ok', value: 0 })
      expect(run(hostRead(vmm, FREE, 1))).toEqual({ kind: 'ok', value: Uint8Array.of(0) })
    },
  )

  test('a punched page reads as zeroes in place, and keeps its state', () => {
    const { vmm, run } = bound(new TestVmm('next-in-place'))
    run(hostConvert(vmm, FREE, PAGE, false))
    run(hostWrite(vmm, FREE, Uint8Array.of(1)))
    expect(run(hostPunchHole(vmm, FREE, PAGE))).toEqual({ kind: 'ok', value: 0 })
    expect(run(hostRead(vmm, FREE, 1))).toEqual({ kind: 'ok', value: Uint8Array.of(0) })
  })
})

describe('a guest asks for a page that is in use', () => {
  const share = (test: TestVmm): void => {
    test.run(hostConvert(test.vmm, FREE, 2 * PAGE, false))
    expect(test.run(hostPin(test.vmm, FREE + PAGE)).kind).toBe('ok')
  }
  const asked = { vcpu: 0, gpa: FREE, size: 2 * PAGE, share: false }

  test('after so many attempts it gets FAILED, nothing changed, and the person hears of it once', () => {
    const machine = new TestVmm('next-in-place')
    const { vmm, run } = bound(machine)
    share(machine)
    const { told, hooks: accepting } = recordingHooks(true)
    let attempts = 0
    const convert = vmm.memory.convert.bind(vmm.memory)
    vmm.memory.convert = (...request) => {
      attempts++
      return convert(...request)
    }
    expect(run(answerConversion(vmm, accepting, asked, () => {}))).toBe(SbiError.FAILED)
    expect(attempts).toBe(CONVERT_ATTEMPTS)
    expect(told).toEqual(['blocked'])
    expect(vmm.memory.isPrivate(FREE)).toBe(false)
    run(hostUnpin(vmm, FREE + PAGE))
    expect(run(answerConversion(vmm, accepting, asked, () => {}))).toBe(SbiError.SUCCESS)
    expect(vmm.memory.isPrivate(FREE)).toBe(true)
    expect(machine.violations()).toEqual([])
  })

  test('a reference that goes between two attempts is not noticed', () => {
    const machine = new TestVmm('next-in-place')
    share(machine)
    const { scheduler } = machine.host
    const task = scheduler.spawn('guest', convertPatiently(machine.vmm, Asker.guest, FREE, 2 * PAGE, true))
    while (task.step?.at !== 'vmm/retry_conversion') scheduler.step(task)
    machine.run(hostUnpin(machine.vmm, FREE + PAGE))
    while (!task.done) scheduler.step(task)
    expect(task.value).toEqual({ result: 0 })
  })

  test('the answer of a policy that refuses is DENIED, and KVM is not asked', () => {
    const machine = new TestVmm('next-in-place')
    const { told, hooks: refusing } = recordingHooks(false)
    const request = { ...asked, share: true }
    expect(machine.run(answerConversion(machine.vmm, refusing, request, () => {}))).toBe(SbiError.DENIED)
    expect(told).toEqual(['refused'])
    expect(machine.vmm.memory.isPrivate(FREE)).toBe(true)
  })

  test('error_offset names the page', () => {
    const machine = new TestVmm('next-in-place')
    share(machine)
    expect(machine.run(hostConvert(machine.vmm, FREE, 2 * PAGE, true))).toEqual({
      kind: 'errno',
      errno: 'EAGAIN',
      gpa: FREE + PAGE,
    })
    // An early error names none.
    expect(machine.run(hostConvert(machine.vmm, FREE + 1, PAGE, true))).toEqual({
      kind: 'errno',
      errno: 'EINVAL',
    })
  })
})

/** The parts that most tests need, ready to be taken apart. */
function bound(machine: TestVmm): { vmm: KvmVmm; run: <T>(task: KernelTask<T>) => T } {
  return { vmm: machine.vmm, run: (task) => machine.run(task) }
}
