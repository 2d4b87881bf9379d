// A vCPU that waits for a cure, and cures that come between the failure of KVM_RUN and the wait.

import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { RAM_BASE } from '../devices/memory-map.ts'
import { MemoryHog } from '../host/pressure.ts'
import { KVM_MEMORY_EXIT_FLAG_PRIVATE } from '../kvm/uapi.ts'
import { MemoryFaults } from './memory-faults.ts'
import { recordingHooks, TestVmm } from './testing/test-vmm.ts'

const PAGE = 4096

const setUp = () => {
  const { host, vmm } = new TestVmm('7.2')
  const { told, hooks } = recordingHooks(true)
  const faults = new MemoryFaults(vmm, vmm.vcpus[0], hooks)
  const { run } = vmm.vcpus[0].vcpu
  run.setMemoryFault(KVM_MEMORY_EXIT_FLAG_PRIVATE, RAM_BASE, PAGE)
  /** KVM_RUN fails and the VMM serves it: what the vCPU then waits for. */
  const serve = (errno: number) => host.scheduler.spawn('vcpu', faults.serve(errno))
  return { host, vmm, faults, told, serve }
}

test('V4 a page punched after KVM_RUN failed for it and before the vCPU waits is entered again', () => {
  const { host, vmm, faults, told, serve } = setUp()
  faults.entering()
  vmm.remedies++
  const cured = serve(Errno.EHWPOISON)
  host.scheduler.pump()
  expect([cured.done, told]).toEqual([true, ['poisoned']])
  // And it does not spin: the next failure waits for another cure.
  faults.entering()
  const waits = serve(Errno.EHWPOISON)
  host.scheduler.pump()
  expect([waits.done, waits.step?.at, told]).toEqual([false, 'vmm/wait_recovery', ['poisoned']])
  vmm.remedies++
  host.scheduler.pump()
  expect(waits.done).toBe(true)
})

test('V4 frames that came free after KVM_RUN failed for want of them are tried, once', () => {
  const { host, faults, told, serve } = setUp()
  const hog = new MemoryHog(host)
  const free = (frames: number | null): void => host.scheduler.runSync(hog.keepFree(frames))
  free(0)
  faults.entering()
  free(8)
  const first = serve(Errno.ENOMEM)
  host.scheduler.pump()
  expect([first.done, told]).toEqual([true, ['outOfMemory']])
  // It fails again though frames are free, as for one of a node that has none: it waits for more.
  faults.entering()
  const second = serve(Errno.ENOMEM)
  host.scheduler.pump()
  expect([second.done, second.step?.at]).toEqual([false, 'vmm/wait_frames'])
  free(9)
  host.scheduler.pump()
  expect([second.done, told]).toEqual([true, ['outOfMemory']])
  faults.entering()
  free(10)
  const third = serve(Errno.ENOMEM)
  host.scheduler.pump()
  expect(third.done).toBe(true)
})
