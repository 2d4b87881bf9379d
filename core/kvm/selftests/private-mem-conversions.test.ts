// What tools/testing/selftests/kvm/x86/private_mem_conversions_test.c asserts, a test a line: implicit and explicit
// conversions of a software-protected VM with two backings, by real guest code on one vCPU and on two.

import { describe, expect, test } from 'vitest'
import { hva } from '../../base/units.ts'
import { Falloc } from '../../host/fallocate.ts'
import { isPrivateGfn } from '../attributes.ts'
import { checkInvariants } from '../invariants.ts'
import { hostProfile } from '../profiles.ts'
import { GuestAgent, type Wish } from '../testing/guest-agent.ts'
import { InlineMachine } from '../testing/inline-vcpus.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, MemFlag } from '../uapi.ts'

const KIB = 2 ** 10
const PAGE = 4 * KIB
const MIB = 2 ** 20
/** 2 MiB aligned, as the data of the kernel's test. */
const DATA = 2 ** 32
const PER_VCPU = 2 * MIB + PAGE
const PUNCH = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE

const ranges = [
  { at: 0, size: PAGE },
  { at: 0, size: 2 * MIB },
  { at: PAGE, size: PAGE },
  { at: PAGE, size: 2 * MIB },
  { at: 2 * MIB, size: PAGE },
].map((range) => ({ ...range, name: `(${range.at / KIB} KiB, ${range.size / KIB} KiB)` }))

/** Each vCPU has 2 MiB + 4 KiB of data; all of it is one guest_memfd and one host mapping, in `slots` memslots. */
const setUp = (vcpus: number, slots: number) => {
  const machine = new InlineMachine(vcpus, { profile: hostProfile('x86', '7.2') })
  const { kvm, vmFd, vm } = machine
  const size = vcpus * PER_VCPU
  const gmem = kvm.createGmem(vmFd, size)
  const uaddr = kvm.anonymous(size)
  for (let i = 0; i < slots; i++)
    kvm.setSlot(vmFd, {
      slot: 10 + i,
      flags: MemFlag.GUEST_MEMFD,
      gpa: DATA + (i * size) / slots,
      size: size / slots,
      uaddr: uaddr + (i * size) / slots,
      fd: gmem,
      offset: (i * size) / slots,
    })
  const fallocate = (mode: number, gpa: number, length: number): number =>
    kvm.run(kvm.syscalls.fallocate(gmem, mode, gpa - DATA, length))
  /** The VMM: converts as the guest asks, and gives memory to the half that wins the pages. */
  const serve = (wish: Wish): number => {
    if (wish.fallocate) fallocate(wish.toPrivate ? Falloc.KEEP_SIZE : PUNCH, wish.gpa, wish.size)
    return kvm.setAttributes(vmFd, wish.gpa, wish.size, wish.toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0)
  }
  return {
    machine,
    kvm,
    vmFd,
    gmem,
    fallocate,
    guests: machine.fds.map((_, id) => ({
      agent: new GuestAgent(machine, id, serve),
      base: DATA + id * PER_VCPU,
    })),
    hostFill: (gpa: number, length: number, value: number) => {
      const filled = kvm.run(kvm.syscalls.store(hva(uaddr + gpa - DATA), new Uint8Array(length).fill(value)))
      expect(filled.ok).toBe(true)
    },
    /** What the VMM sees at a guest address: the shared half. */
    hostSees: (gpa: number, length: number, value: number) => {
      const loaded = kvm.run(kvm.syscalls.load(hva(uaddr + gpa - DATA), length))
      expect(loaded.ok && loaded.value.every((byte) => byte === value)).toBe(true)
    },
    isPrivate: (gpa: number) => isPrivateGfn(vm, gpa / PAGE),
    check: () => expect(checkInvariants({ host: kvm.host, vms: [vm] })).toEqual([]),
  }
}
type Setting = ReturnType<typeof setUp>
type Guest = Setting['guests'][number]
type Script = (setting: Setting, guest: Guest) => Generator<void, void, void>

/** Runs a script on every vCPU, a command each in turn. */
const runOnAll = (vcpus: number, slots: number, script: Script): void => {
  const setting = setUp(vcpus, slots)
  const scripts = setting.guests.map((guest) => script(setting, guest))
  while (scripts.map((each) => each.next().done).includes(false));
  setting.check()
}

const ask = ({ agent }: Guest, gpa: number, size: number, toPrivate: boolean, fallocate: boolean): void =>
  expect(agent.ask({ gpa, size, toPrivate, fallocate })).toBe(0)

/** The whole data but the range still holds a pattern, as the guest sees it. */
const restHolds = ({ agent, base }: Guest, at: number, size: number, value: number): void => {
  expect(agent.differs(base, at, value)).toBe(0)
  expect(agent.differs(base + at + size, PER_VCPU - at - size, value)).toBe(0)
}

const INIT = 0xcc
const [P1, P2, P3, P4] = [0x11, 0x22, 0x33, 0x44]

describe.each([
  { vcpus: 1, slots: 1 },
  { vcpus: 1, slots: 3 },
  { vcpus: 2, slots: 1 },
  { vcpus: 2, slots: 3 },
])('private_mem_conversions: $vcpus vCPUs, $slots slots over one guest_memfd', ({ vcpus, slots }) => {
  describe.each([{ fallocate: false }, { fallocate: true }])('fallocate: $fallocate', ({ fallocate }) => {
    test.each(ranges)(
      '$name to private: the guest gets a page of its own, the host goes on seeing the shared one',
      ({ at, size }) => {
        runOnAll(vcpus, slots, function* (setting, guest) {
          const { agent, base } = guest
          const gpa = base + at
          setting.hostFill(base, PER_VCPU, INIT)
          agent.fill(gpa, size, P1)
          yield
          ask(guest, gpa, size, true, fallocate)
          yield
          expect(agent.differs(gpa, size, 0)).toBe(0)
          agent.fill(gpa, size, P2)
          yield
          setting.hostSees(gpa, size, P1)
          expect(agent.differs(gpa, size, P2)).toBe(0)
          restHolds(guest, at, size, INIT)
        })
      },
    )

    test.each(ranges)(
      '$name back to shared: the guest sees what the host wrote, and the host what the guest writes',
      ({ at, size }) => {
        runOnAll(vcpus, slots, function* (setting, guest) {
          const { agent, base } = guest
          const gpa = base + at
          setting.hostFill(base, PER_VCPU, INIT)
          ask(guest, gpa, size, true, fallocate)
          agent.fill(gpa, size, P2)
          yield
          setting.hostFill(gpa, size, P3)
          ask(guest, gpa, size, false, fallocate)
          yield
          expect(agent.differs(gpa, size, P3)).toBe(0)
          agent.fill(gpa, size, P4)
          yield
          setting.hostSees(gpa, size, P4)
          restHolds(guest, at, size, INIT)
        })
      },
    )

    test('every other page back to shared: the pages between keep their contents and their state', () => {
      const size = 64 * KIB
      runOnAll(vcpus, slots, function* (setting, guest) {
        const { agent, base } = guest
        agent.fill(base, PER_VCPU, P1)
        ask(guest, base, size, true, fallocate)
        agent.fill(base, size, P2)
        yield
        for (let at = PAGE; at < size; at += 2 * PAGE) {
          ask(guest, base + at, PAGE, false, fallocate)
          yield
          expect(agent.differs(base + at, PAGE, P1)).toBe(0)
          agent.fill(base + at, PAGE, P3)
          setting.hostSees(base + at, PAGE, P3)
        }
        for (let at = 0; at < size; at += PAGE) {
          const shared = at % (2 * PAGE) !== 0
          expect(setting.isPrivate(base + at)).toBe(!shared)
          expect(agent.differs(base + at, PAGE, shared ? P3 : P2)).toBe(0)
          setting.hostSees(base + at, PAGE, shared ? P3 : P1)
        }
        yield
        ask(guest, base, size, false, fallocate)
        for (let at = 0; at < size; at += PAGE)
          expect(agent.differs(base + at, PAGE, at % (2 * PAGE) ? P3 : P1)).toBe(0)
      })
    })
  })

  test.each(ranges)(
    'a hole punched exactly at $name: private reads are zero there, and nowhere else',
    ({ at, size }) => {
      runOnAll(vcpus, slots, function* (setting, guest) {
        const { agent, base } = guest
        ask(guest, base, PER_VCPU, true, false)
        agent.fill(base, PER_VCPU, INIT)
        yield
        expect(setting.fallocate(PUNCH, base + at, size)).toBe(0)
        yield
        expect(agent.differs(base + at, size, 0)).toBe(0)
        restHolds(guest, at, size, INIT)
        expect(setting.isPrivate(base + at)).toBe(true)
      })
    },
  )

  test.each(ranges)(
    '$name filled, a hole punched in all of the data: private reads are zero everywhere',
    ({ at, size }) => {
      runOnAll(vcpus, slots, function* (setting, guest) {
        const { agent, base } = guest
        ask(guest, base, PER_VCPU, true, false)
        agent.fill(base + at, size, INIT)
        yield
        expect(setting.fallocate(PUNCH, base, PER_VCPU)).toBe(0)
        yield
        expect(agent.differs(base, PER_VCPU, 0)).toBe(0)
      })
    },
  )

  test('fallocate and punch still work on the guest_memfd after the VM descriptor is closed', () => {
    const setting = setUp(vcpus, slots)
    const { kvm, machine } = setting
    for (const fd of [...machine.fds, machine.vmFd]) expect(kvm.run(kvm.syscalls.close(fd))).toBe(0)
    expect(setting.fallocate(Falloc.KEEP_SIZE, DATA, PER_VCPU)).toBe(0)
    expect(setting.fallocate(PUNCH, DATA, PER_VCPU)).toBe(0)
    setting.check()
  })
})

test('a conversion that the VMM refuses reaches the guest as its errno, and changes nothing', () => {
  const setting = setUp(1, 1)
  const [guest] = setting.guests
  guest.agent.fill(DATA, PAGE, P1)
  expect(guest.agent.ask({ gpa: DATA + 1, size: PAGE, toPrivate: true, fallocate: false })).toBe(-22)
  expect(setting.isPrivate(DATA)).toBe(false)
  expect(guest.agent.differs(DATA, PAGE, P1)).toBe(0)
})
