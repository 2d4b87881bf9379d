// KVM_RUN and its exits on the real engine (SPEC K8, K9, K2), one thread.

import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { Vcpu } from '../engine/vcpu-block.ts'
import { MpState } from '../hart/mp-state.ts'
import { SbiError, SbiExtension } from '../hart/sbi.ts'
import { MapFlag } from '../host/mmap.ts'
import { Prot } from '../host/vma.ts'
import { FAIL_ENTRY_ENGINE, KvmSystemEvent } from './kvm-run.ts'
import { OneReg } from './one-reg.ts'
import { InlineMachine, RAM } from './testing/inline-vcpus.ts'
import { Cap, ExitReason, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEMORY_EXIT_FLAG_PRIVATE, Kvm } from './uapi.ts'
import { enableCapRequest } from './uapi-structs.ts'

const x = (machine: InlineMachine, register: number, id = 0): bigint =>
  machine.vcpu(id).oneReg.get(OneReg.x(register))

const signed = (value: number): bigint => BigInt.asUintN(64, BigInt(value))

/** a7 = extension, a6 = function, then the call; a0 and a1 as given. */
const ecall = (extension: number, fid: number, a0: number, a1: number): string => `
  li a0, ${a0}
  li a1, ${a1}
  li a6, ${fid}
  li a7, ${extension}
  ecall
`

const SHUTDOWN = ecall(SbiExtension.SRST, 0, 0, 0)

describe('MMIO', () => {
  test('K9 a load from a hole exits, and completes at the start of the next KVM_RUN', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, 0x1000\nlh t1, 2(t0)\n${SHUTDOWN}`)
    const { run } = machine.vcpu()
    expect(machine.run()).toBe(0)
    expect(run.exitReason).toBe(ExitReason.MMIO)
    expect(run.mmio).toEqual({ gpa: 0x1002, length: 2, write: false, low: 0, high: 0 })
    run.setMmioData(0x8001, 0)
    machine.run()
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(x(machine, 6)).toBe(signed(-0x7fff))
  })

  test('K9 a 16-bit load exits as the 32-bit one, and pc moves by two', () => {
    const machine = new InlineMachine()
    machine.load(`li s0, 0x1000\nc.lw a0, 4(s0)\nmv s1, a0\n${SHUTDOWN}`)
    const { run } = machine.vcpu()
    machine.run()
    expect(run.exitReason).toBe(ExitReason.MMIO)
    expect(run.mmio).toEqual({ gpa: 0x1004, length: 4, write: false, low: 0, high: 0 })
    run.setMmioData(41, 0)
    machine.run()
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(x(machine, 9)).toBe(41n)
  })

  test('K9 with immediate_exit the completion happens, then EINTR without entering the guest', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, 0x1000\nlw t1, 0(t0)\naddi t1, t1, 1\n${SHUTDOWN}`)
    const { run } = machine.vcpu()
    machine.run()
    run.setMmioData(41, 0)
    run.immediateExit = true
    expect(machine.run()).toBe(-Errno.EINTR)
    expect(x(machine, 6)).toBe(41n)
    run.immediateExit = false
    machine.run()
    expect(x(machine, 6)).toBe(42n)
  })

  test('a store carries address, length and value, and happens once', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, 0x1000\nli t1, -2\nsd t1, 8(t0)\n${SHUTDOWN}`)
    const { run } = machine.vcpu()
    machine.run()
    expect(run.mmio).toEqual({ gpa: 0x1008, length: 8, write: true, low: -2, high: -1 })
    machine.run()
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
  })

  test.each([
    ['a fetch from a hole', 'li t0, 0x1000\njalr zero, 0(t0)', Errno.EOPNOTSUPP],
    ['an AMO on a hole', 'li t0, 0x1000\namoadd.w t1, t1, (t0)', Errno.EOPNOTSUPP],
  ])('%s cannot be emulated', (_what, source, errno) => {
    const machine = new InlineMachine()
    machine.load(source)
    expect(machine.run()).toBe(-errno)
  })
})

describe('memory faults', () => {
  test('K8 a touch that differs from the attribute fails with EFAULT and names page and declared state', () => {
    const machine = new InlineMachine()
    machine.load(`li t0, ${RAM + 0x3000}\nli t1, 7\nsw t1, 0x120(t0)\nlw t2, 0x120(t0)\n${SHUTDOWN}`)
    machine.kvm.setAttributes(machine.vmFd, RAM + 0x3000, 0x1000, 0)
    const { run } = machine.vcpu()
    expect(machine.run()).toBe(-Errno.EFAULT)
    expect(run.exitReason).toBe(ExitReason.MEMORY_FAULT)
    expect(run.memoryFault).toEqual({ flags: KVM_MEMORY_EXIT_FLAG_PRIVATE, gpa: RAM + 0x3000, size: 0x1000 })
    // The machine is alive: with the attribute back the same instruction succeeds.
    machine.kvm.setAttributes(machine.vmFd, RAM + 0x3000, 0x1000, KVM_MEMORY_ATTRIBUTE_PRIVATE)
    expect(machine.run()).toBe(0)
    expect(run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(x(machine, 7)).toBe(7n)
  })
})

describe('SBI', () => {
  test('SRST becomes a system event with the reason', () => {
    const machine = new InlineMachine()
    machine.load(ecall(SbiExtension.SRST, 0, 1, 1))
    machine.run()
    expect(machine.vcpu().run.systemEvent).toEqual({ type: KvmSystemEvent.RESET, data: 1 })
  })

  test('an unknown extension is NOT_SUPPORTED, and so are the forwarded ones until they are enabled', () => {
    for (const extension of [0x12345678, SbiExtension.DBCN, SbiExtension.COVG]) {
      const machine = new InlineMachine()
      machine.load(`${ecall(extension, 2, RAM, 0x1000)}mv s0, a0\n${SHUTDOWN}`)
      machine.run()
      expect(machine.vcpu().run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
      expect(x(machine, 8)).toBe(signed(SbiError.NOT_SUPPORTED))
    }
  })

  test('share is forwarded; the declared state follows only a success, when KVM_RUN completes it', () => {
    const machine = new InlineMachine()
    machine.load(`${ecall(SbiExtension.COVG, 2, RAM + 0x2000, 0x2000)}mv s0, a0\n${SHUTDOWN}`)
    const { run, oneReg } = machine.vcpu()
    oneReg.set(OneReg.SBI_COVG, 1n)
    machine.run()
    expect(run.exitReason).toBe(ExitReason.RISCV_SBI)
    expect(run.sbi.extension).toBe(SbiExtension.COVG)
    expect(run.sbi.args.slice(0, 2)).toEqual([RAM + 0x2000, 0x2000])
    expect(run.sbiReturn).toEqual({ error: SbiError.NOT_SUPPORTED, value: 0 })
    const gfn = RAM / 4096 + 2
    run.setSbiReturn(SbiError.SUCCESS, 0)
    expect(machine.vm.declared?.isPrivate(gfn)).toBe(true)
    machine.run()
    expect(machine.vm.declared?.isPrivate(gfn)).toBe(false)
    expect(machine.vm.declared?.isPrivate(gfn + 2)).toBe(true)
    expect(x(machine, 8)).toBe(0n)
  })

  test('a denied share changes nothing', () => {
    const machine = new InlineMachine()
    machine.load(`${ecall(SbiExtension.COVG, 2, RAM, 0x1000)}mv s0, a0\n${SHUTDOWN}`)
    const { run, oneReg } = machine.vcpu()
    oneReg.set(OneReg.SBI_COVG, 1n)
    machine.run()
    run.setSbiReturn(SbiError.DENIED, 0)
    machine.run()
    expect(x(machine, 8)).toBe(signed(SbiError.DENIED))
    expect(machine.vm.declared?.isPrivate(RAM / 4096)).toBe(true)
  })

  test.each([
    ['an unaligned address', 2, RAM + 8, 0x1000, SbiError.INVALID_ADDRESS],
    ['an address outside RAM', 2, 0x1000, 0x1000, SbiError.INVALID_ADDRESS],
    ['a range that leaves RAM', 2, RAM + 0xf000, 0x2000, SbiError.INVALID_ADDRESS],
    ['no pages', 2, RAM, 0, SbiError.INVALID_PARAM],
    ['an unaligned length', 2, RAM, 0x800, SbiError.INVALID_PARAM],
    ['unsharing what is private', 3, RAM, 0x1000, SbiError.INVALID_PARAM],
    ['an unknown function', 9, RAM, 0x1000, SbiError.NOT_SUPPORTED],
  ])('COVG refuses %s in the kernel', (_what, fid, gpa, size, error) => {
    const machine = new InlineMachine()
    machine.load(`${ecall(SbiExtension.COVG, fid, gpa, size)}mv s0, a0\n${SHUTDOWN}`)
    machine.vcpu().oneReg.set(OneReg.SBI_COVG, 1n)
    machine.run()
    expect(machine.vcpu().run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
    expect(x(machine, 8)).toBe(signed(error))
  })

  test('HSM starts a stopped hart in supervisor mode with its id and the opaque value', () => {
    const machine = new InlineMachine(2)
    machine.load(
      ecall(SbiExtension.HSM, 2, 1, 0) +
        'mv s0, a1\n' +
        `li a2, 77\n${ecall(SbiExtension.HSM, 0, 1, RAM + 0x800)}mv s1, a0\n` +
        ecall(SbiExtension.HSM, 0, 1, RAM + 0x800) +
        'mv s2, a0\n' +
        SHUTDOWN,
    )
    expect(machine.vcpu(1).hart.mpState).toBe(MpState.STOPPED)
    machine.run()
    expect(x(machine, 8)).toBe(1n) // stopped
    expect(x(machine, 9)).toBe(0n)
    expect(x(machine, 18)).toBe(signed(SbiError.ALREADY_AVAILABLE))
    expect(machine.vcpu(1).hart.mpState).toBe(MpState.RUNNABLE)
    expect(machine.vcpu(1).oneReg.get(OneReg.PC)).toBe(BigInt(RAM + 0x800))
    expect(x(machine, 10, 1)).toBe(1n)
    expect(x(machine, 11, 1)).toBe(77n)
    expect(machine.vcpu(1).oneReg.get(OneReg.MODE)).toBe(1n)
  })

  test.each([
    ['a hart that is not there', 5, RAM, SbiError.INVALID_PARAM],
    ['an address without memory', 1, 0x1000, SbiError.INVALID_ADDRESS],
  ])('HSM start refuses %s', (_what, hart, address, error) => {
    const machine = new InlineMachine(2)
    machine.load(`${ecall(SbiExtension.HSM, 0, hart, address)}mv s0, a0\n${SHUTDOWN}`)
    machine.run()
    expect(x(machine, 8)).toBe(signed(error))
  })
})

describe('the vCPU descriptor', () => {
  const oneReg = (id: bigint, address: number): Uint8Array => {
    const view = new DataView(new ArrayBuffer(16))
    view.setBigUint64(0, id, true)
    view.setBigUint64(8, BigInt(address), true)
    return new Uint8Array(view.buffer)
  }

  test('K2 ONE_REG reads and writes through a user address', () => {
    const machine = new InlineMachine()
    const { kvm, fds } = machine
    const address = kvm.anonymous(4096)
    kvm.run(kvm.syscalls.store(hva(address), new Uint8Array([1, 2, 3, 4, 5, 6, 7, 0xff])))
    expect(kvm.ioctl(fds[0], Kvm.SET_ONE_REG, oneReg(OneReg.x(5), address))).toBe(0)
    expect(x(machine, 5)).toBe(0xff07060504030201n)
    expect(kvm.ioctl(fds[0], Kvm.GET_ONE_REG, oneReg(OneReg.PC, address))).toBe(0)
    expect(kvm.ioctl(fds[0], Kvm.GET_ONE_REG, oneReg(OneReg.PC, 0x10))).toBe(-Errno.EFAULT)
    expect(kvm.ioctl(fds[0], Kvm.GET_ONE_REG, oneReg(0x80300000ff000000n, address))).toBe(-Errno.ENOENT)
    expect(kvm.ioctl(fds[0], Kvm.GET_ONE_REG, oneReg(0x8020000002000000n, address))).toBe(-Errno.EINVAL)
  })

  test('KVM_RUN takes no argument, a signal ends it with INTR, a wrong MP state is refused', () => {
    const machine = new InlineMachine()
    machine.load('loop:\nj loop')
    const { kvm, fds } = machine
    expect(kvm.ioctl(fds[0], Kvm.RUN, 1)).toBe(-Errno.EINVAL)
    machine.vcpu().hart.signal()
    expect(machine.run()).toBe(-Errno.EINTR)
    expect(machine.vcpu().run.exitReason).toBe(ExitReason.INTR)
    expect(kvm.ioctl(fds[0], Kvm.SET_MP_STATE, new Uint8Array([9, 0, 0, 0]))).toBe(-Errno.EINVAL)
    expect(kvm.ioctl(fds[0], Kvm.SET_MP_STATE, new Uint8Array([MpState.STOPPED, 0, 0, 0]))).toBe(0)
    const state = new Uint8Array(4)
    expect(kvm.ioctl(fds[0], Kvm.GET_MP_STATE, state)).toBe(0)
    expect(state[0]).toBe(MpState.STOPPED)
  })

  test('a reset brings a vCPU to its first state, with the MP state it has', () => {
    const machine = new InlineMachine()
    const { kvm, fds, vmFd } = machine
    const image = () => [
      ...new Uint8Array(kvm.host.memory.buffer, machine.vcpu().registers.view.byteOffset, 0x300),
    ]
    const fresh = image()
    expect([fresh[Vcpu.SCOUNTEREN], fresh[Vcpu.PRIV]]).toEqual([7, 1])
    machine.load(`li t0, 5\ncsrw sscratch, t0\ncsrw scounteren, zero\n${SHUTDOWN}`)
    machine.run()
    machine.vcpu().words.setPending(1 << 9, true)
    const reset = Uint8Array.of(MpState.INIT_RECEIVED, 0, 0, 0)
    expect(kvm.ioctl(vmFd, Kvm.ENABLE_CAP, enableCapRequest(Cap.RISCV_MP_STATE_RESET, 0))).toBe(0)
    expect(image()).not.toEqual(fresh)
    expect(kvm.ioctl(fds[0], Kvm.SET_MP_STATE, reset)).toBe(0)
    // But for the instructions it has retired.
    const after = image()
    after.fill(0, Vcpu.INSTRET, Vcpu.LR_HPA)
    expect(after).toEqual(fresh)
    expect(machine.vcpu().words.load(Vcpu.PENDING)).toBe(0)
    expect(machine.vcpu().hart.mpState).toBe(MpState.RUNNABLE)
  })

  test('K2 mmap shows kvm_run: the exit reason at byte 8, nothing beyond its page', () => {
    const machine = new InlineMachine()
    machine.load(SHUTDOWN)
    machine.run()
    const { kvm, fds } = machine
    const address = kvm.run(kvm.syscalls.mmap(8192, Prot.READ | Prot.WRITE, MapFlag.SHARED, fds[0], 0))
    expect(address).toBeGreaterThan(0)
    expect(kvm.run(kvm.syscalls.load(hva(address + 8), 1))).toEqual({
      ok: true,
      value: new Uint8Array([ExitReason.SYSTEM_EVENT]),
    })
    expect(kvm.run(kvm.syscalls.load(hva(address + 4096), 1))).toMatchObject({ ok: false, signal: 'SIGBUS' })
    expect(kvm.run(kvm.syscalls.munmap(address, 8192))).toBe(0)
  })

  test('an engine that cannot run is FAIL_ENTRY, and the hypervisor stays alive', () => {
    const machine = new InlineMachine()
    machine.load(SHUTDOWN)
    const vcpu = machine.vcpu()
    const root = vcpu.registers.word(Vcpu.HGATP_ROOT)
    vcpu.registers.setWord(Vcpu.HGATP_ROOT, 0xfffff000 | 0)
    expect(machine.run()).toBe(0)
    expect(vcpu.run.exitReason).toBe(ExitReason.FAIL_ENTRY)
    expect(vcpu.registers.view.getUint32(Vcpu.RUN_PAGE + 32, true)).toBe(FAIL_ENTRY_ENGINE)
    vcpu.registers.setWord(Vcpu.HGATP_ROOT, root)
    machine.run()
    expect(vcpu.run.exitReason).toBe(ExitReason.SYSTEM_EVENT)
  })
})

describe('ONE_REG', () => {
  test('K9 states what the engine has, and takes nothing else', () => {
    const { oneReg } = new InlineMachine().vcpu()
    for (const [register, value] of [
      [OneReg.ISA, (2n << 62n) | 0x112dn],
      [OneReg.ZICBOM_BLOCK_SIZE, 64n],
      [OneReg.ZICBOZ_BLOCK_SIZE, 64n],
      [OneReg.SATP_MODE, 10n],
    ] as const) {
      expect(oneReg.get(register)).toBe(value)
      oneReg.set(register, value)
      expect(() => oneReg.set(register, value - 1n)).toThrow('fixed')
    }
  })
})
