// The checklists of memslot_modification_stress_test and memslot_perf_test (tools/testing/selftests/kvm): what they do
// to slots while guests run, every word checked. How fast it goes is the benchmark's question.

import { describe, expect, test } from 'vitest'
import { Errno } from '../../base/errno.ts'
import { hva } from '../../base/units.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { Advice } from '../../host/madvise.ts'
import { checkInvariants } from '../invariants.ts'
import { OneReg } from '../one-reg.ts'
import { GuestAgent } from '../testing/guest-agent.ts'
import { InlineMachine, RAM } from '../testing/inline-vcpus.ts'
import { DOORBELL, race, report } from '../testing/programs.ts'
import { ExitReason, Kvm, MemFlag, memoryRegion2 } from '../uapi.ts'

const PAGE = 4096
const DATA = 0x90000000
const UNRELATED = 0xa0000000
const PAGES = 64
const SIZE = PAGES * PAGE
const SLOT = 1

const machineWith = (vcpus: number, flags = 0) => {
  const machine = new InlineMachine(vcpus, { bytes: 16 * 2 ** 20 })
  const { kvm, vmFd } = machine
  const uaddr = kvm.anonymous(SIZE)
  const set = (slot: number, gpa: number, size: number, address: number) =>
    kvm.syscalls.ioctl(
      vmFd,
      Kvm.SET_USER_MEMORY_REGION2,
      memoryRegion2({
        slot,
        flags,
        guestPhysAddr: gpa,
        memorySize: size,
        userspaceAddr: address,
        guestMemfd: -1,
        guestMemfdOffset: 0,
      }),
    )
  expect(kvm.run(set(SLOT, DATA, SIZE, uaddr))).toBe(0)
  for (const id of machine.fds.keys()) machine.vcpu(id).hart.mpState = 0
  const violations = (): string[] => checkInvariants({ host: kvm.host, vms: [machine.vm] })
  return { machine, kvm, vmFd, uaddr, set, violations }
}

describe.each([1, 2])('%i vCPUs: an unrelated slot comes and goes', (vcpus) => {
  /** Counts in a word of each of its pages, which must hold what it wrote, and gives the VMM a turn by an MMIO store. */
  const counter = (id: number): string => `
      li s2, ${PAGE}
      li s3, ${(PAGES / 2) | 0}
      li t3, 0
    round:
      li s0, ${DATA + (id * SIZE) / 2}
      mv s4, s3
    page:
      ld t0, 0(s0)
      bne t0, t3, wrong
      addi t0, t0, 1
      sd t0, 0(s0)
      add s0, s0, s2
      addi s4, s4, -1
      bnez s4, page
      addi t3, t3, 1
      ${report('t3')}
      j round
    wrong:
      li t3, -1
      ${report('t3')}
      j wrong`

  test.each([
    ['shared', 0],
    ['logged', MemFlag.LOG_DIRTY_PAGES],
  ])('thousands of times, %s memory: no exit but the guests’ own, every word as written', (_kind, flags) => {
    const { machine, kvm, set, violations } = machineWith(vcpus, flags)
    const other = kvm.anonymous(PAGE)
    const rounds = machine.fds.map(() => 0)
    for (const id of machine.fds.keys())
      machine.vcpu(id).oneReg.set(OneReg.PC, BigInt(machine.place(counter(id), id * 0x400)))
    const vmm = function* (): KernelTask<number> {
      for (let i = 0; i < 1000; i++) {
        const failed = (yield* set(2, UNRELATED, PAGE, other)) || (yield* set(2, UNRELATED, 0, other))
        if (failed) return failed
      }
      return 0
    }
    const exited = (id: number, result: number, vmmDone: boolean): boolean => {
      const { run } = machine.vcpu(id)
      expect([result, run.exitReason, run.mmio.gpa]).toEqual([0, ExitReason.MMIO, DOORBELL])
      expect(run.mmio.low).toBe(++rounds[id])
      return !vmmDone
    }
    expect(race(machine, vmm(), 1, exited)).toBe(0)
    for (const count of rounds) expect(count).toBeGreaterThan(100)
    expect(violations()).toEqual([])
  })
})

describe.each([1, 2])('%i vCPUs: the tests of memslot_perf_test', (vcpus) => {
  /** The vCPUs share the slot's pages among them. */
  const withAgents = () => {
    const m = machineWith(vcpus)
    const agents = m.machine.fds.map(
      (_, id) =>
        new GuestAgent(m.machine, id, () => {
          throw new Error('the guest asks for nothing')
        }),
    )
    const share = SIZE / vcpus
    const fill = (value: number, base = DATA): void => {
      for (const [i, agent] of agents.entries()) agent.fill(base + i * share, share, value)
    }
    const differs = (value: number, base = DATA): number[] =>
      agents.map((agent, i) => agent.differs(base + i * share, share, value))
    const none = agents.map(() => 0)
    const hostHas = (value: number): boolean => {
      const loaded = m.kvm.run(m.kvm.syscalls.load(hva(m.uaddr), SIZE))
      return loaded.ok && loaded.value.every((byte) => byte === value)
    }
    return { ...m, agents, fill, differs, none, hostHas }
  }

  test('map: the guest touches everything, and the host sees every word', () => {
    const { machine, fill, hostHas, violations } = withAgents()
    fill(0x5a)
    expect(hostHas(0x5a)).toBe(true)
    expect(machine.vm.stage2.leaf(DATA / PAGE + PAGES - 1)).not.toBeNull()
    expect(violations()).toEqual([])
  })

  test.each([
    ['whole', PAGES],
    ['in chunks', 4],
  ])('unmap %s: nothing is mapped, and the guest finds zeroes', (_how, chunk) => {
    const { machine, kvm, uaddr, fill, differs, none, violations } = withAgents()
    fill(0x11)
    for (let page = 0; page < PAGES; page += chunk) {
      expect(kvm.run(kvm.syscalls.madvise(uaddr + page * PAGE, chunk * PAGE, Advice.DONTNEED))).toBe(0)
      for (let i = 0; i < PAGES; i++)
        expect(machine.vm.stage2.leaf(DATA / PAGE + i) === null).toBe(i < page + chunk)
    }
    expect(differs(0)).toEqual(none)
    expect(violations()).toEqual([])
  })

  test('move the active area: what the guest wrote moves along, and the old place is a hole', () => {
    const { kvm, set, uaddr, fill, differs, none, agents, violations } = withAgents()
    let base = DATA
    for (let i = 1; i <= 20; i++) {
      fill(i, base)
      const next = base === DATA ? DATA + 2 * SIZE : DATA
      expect(kvm.run(set(SLOT, next, SIZE, uaddr))).toBe(0)
      expect(differs(i, next)).toEqual(none)
      expect(kvm.run(set(2, base, SIZE / 2, uaddr))).toBe(0)
      expect(agents[0].load(base)).toBe(i)
      expect(kvm.run(set(2, base, 0, uaddr))).toBe(0)
      base = next
    }
    expect(violations()).toEqual([])
  })

  test('move an inactive area: the guest keeps its mappings', () => {
    const { machine, kvm, set, fill, differs, none } = withAgents()
    const other = kvm.anonymous(PAGE)
    expect(kvm.run(set(2, UNRELATED, PAGE, other))).toBe(0)
    fill(1)
    const { mapped } = machine.vm.stage2
    for (let i = 1; i <= 100; i++) {
      expect(kvm.run(set(2, UNRELATED + (i % 2) * PAGE, PAGE, other))).toBe(0)
      expect(machine.vm.stage2.mapped).toBe(mapped)
    }
    expect(differs(1)).toEqual(none)
  })

  test('a move onto another slot: EEXIST, nothing changed', () => {
    const { machine, kvm, set, uaddr, fill, differs, none } = withAgents()
    fill(3)
    const { mapped } = machine.vm.stage2
    expect(kvm.run(set(SLOT, RAM, SIZE, uaddr))).toBe(-Errno.EEXIST)
    expect(machine.vm.stage2.mapped).toBe(mapped)
    expect(differs(3)).toEqual(none)
  })

  test('read and write in turn: each side reads every word the other wrote', () => {
    const { kvm, uaddr, fill, differs, none, hostHas } = withAgents()
    for (let i = 1; i <= 10; i++) {
      fill(i)
      expect(hostHas(i)).toBe(true)
      kvm.run(kvm.syscalls.store(hva(uaddr), new Uint8Array(SIZE).fill(0x80 + i)))
      expect(differs(0x80 + i)).toEqual(none)
    }
  })
})
