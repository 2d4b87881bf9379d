import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { SbiError, SbiExtension } from '../hart/sbi.ts'
import { Resume, VcpuExit, VmStatus } from './run-page.ts'
import { ExitType } from './sbi.ts'
import { GunyahMachine, RAM } from './testing/gunyah-host.ts'
import { ALLOW_RWX, BootRegister, bootContext, bootRegister, Gunyah, MemFlag } from './uapi.ts'

const PAGE = 4096
const DATA = 4

const ecall = (extension: number, fid: number, a0: number, a1: number): string =>
  `li a0, ${a0}\nli a1, ${a1}\nli a6, ${fid}\nli a7, ${extension}\necall\n`

/** Hands a0 to the VMM. */
const REPORT = 'li s1, 0x1000\nsd a0, 0(s1)\n'
const SPIN = 'end:\nj end\n'

/** Installs a trap handler: the code, and what follows runs on. */
const handler = (code: string): string => `jal t0, main\n${code}main:\ncsrw stvec, t0\n`

const booted = (
  source: string,
  options: ConstructorParameters<typeof GunyahMachine>[0] = {},
): GunyahMachine => {
  const machine = new GunyahMachine(options)
  expect(machine.boot(source)).toBe(0)
  return machine
}

describe('MMIO', () => {
  test('Y14 a load exits, and takes the value at the next run', () => {
    const machine = booted(`li t0, 0x1000\nlh t1, 2(t0)\n${SPIN}`)
    expect(machine.enter()).toBe(0)
    const { run } = machine.vcpu()
    expect(run.mmio).toMatchObject({ gpa: 0x1002, length: 2, write: false, resume: Resume.HANDLED })
    run.setMmioData(0xffff8001 | 0, 0)
    run.immediateExit = true
    expect(machine.enter()).toBe(-Errno.EINTR)
    expect(machine.vcpu().hart?.registers.xLow(6)).toBe(0xffff8001 | 0)
  })

  test('Y14 FAULT is a load access fault in the guest, at its address; an unknown action EINVAL', () => {
    const machine = booted(
      `${handler(`csrr a0, scause\n${REPORT}csrr a0, stval\nsd a0, 0(s1)\n${SPIN}`)}li t0, 0x1008\nld t1, 0(t0)\n`,
    )
    machine.enter()
    const { run } = machine.vcpu()
    run.setMmioResume(9)
    expect(machine.enter()).toBe(-Errno.EINVAL)
    run.setMmioResume(Resume.FAULT)
    expect(machine.enter()).toBe(0)
    expect(run.mmio.low).toBe(5)
    machine.enter()
    expect(run.mmio.low).toBe(0x1008)
  })

  test('Y14 RETRY pages in what user space has bound meanwhile', () => {
    const far = RAM + 1024 * PAGE
    const machine = booted(`li t0, ${far}\nld a0, 0(t0)\n${REPORT}${SPIN}`)
    machine.enter()
    const { run } = machine.vcpu()
    expect(run.exitReason).toBe(VcpuExit.MMIO)
    const mem = machine.createMem(1)
    machine.write(mem, 0, Uint8Array.of(42))
    expect(machine.mapMem(machine.vmFd, { fd: mem, gpa: far, size: PAGE })).toBe(0)
    run.setMmioResume(Resume.RETRY)
    machine.enter()
    expect(run.mmio.low).toBe(42)
  })

  test('Y15 what the hypervisor cannot decode is an access fault: a fetch, an atomic', () => {
    const machine = booted(
      `${handler(`csrr a0, scause\n${REPORT}li t0, 0x3000\njr t0\n`)}li t0, 0x2000\namoadd.w t1, t1, (t0)\n`,
    )
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(7)
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(1)
  })

  test('Y16 what is shared cannot be executed', () => {
    const machine = new GunyahMachine()
    const page = { fd: machine.memFd, gpa: RAM + DATA * PAGE, offset: DATA * PAGE }
    machine.mapMem(machine.vmFd, { ...page, size: 12 * PAGE, flags: ALLOW_RWX | MemFlag.UNMAP })
    machine.mapMem(machine.vmFd, { ...page, size: PAGE, flags: ALLOW_RWX | MemFlag.FORCE_SHARE })
    const rest = { fd: machine.memFd, gpa: page.gpa + PAGE, offset: page.offset + PAGE, size: 11 * PAGE }
    machine.mapMem(machine.vmFd, rest)
    machine.boot(
      `${handler(`csrr a0, scause\n${REPORT}${SPIN}`)}li t0, ${RAM + DATA * PAGE}\nld t1, 0(t0)\njr t0\n`,
    )
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(1)
  })
})

describe('the end of a VM', () => {
  test.each([
    ['shutdown', 0, ExitType.POWER_OFF],
    ['cold reset', 1, ExitType.SYSTEM_RESET],
    ['warm reset', 2, ExitType.SYSTEM_RESET2],
  ])('Y17 SRST %s is STATUS EXITED, again and again', (_name, type, exit) => {
    const machine = booted(ecall(SbiExtension.SRST, 0, type, 1))
    for (let time = 0; time < 2; time++) {
      expect(machine.enter()).toBe(0)
      expect(machine.vcpu().run.exitReason).toBe(VcpuExit.STATUS)
      expect(machine.vcpu().run.status).toEqual({ status: VmStatus.EXITED, type: exit, reason: 1 })
    }
    expect(machine.ioctl(machine.vmFd, Gunyah.VM_START)).toBe(-Errno.ENODEV)
    expect(machine.violations()).toEqual([])
  })

  test('Y17 the other vCPU, in the guest or stopped, hears of it', () => {
    const machine = booted(ecall(SbiExtension.SRST, 0, 0, 0), { vcpus: 2 })
    const stopped = machine.start(1)
    machine.host.scheduler.pump()
    expect(stopped.done).toBe(false)
    expect(machine.enter(0)).toBe(0)
    machine.host.scheduler.pump()
    expect(stopped.value).toBe(0)
    expect(machine.vcpu(1).run.status.status).toBe(VmStatus.EXITED)
  })
})

describe('boot', () => {
  test('Y18 a1 is the device tree, x registers and the stack pointer are what the context says', () => {
    const machine = new GunyahMachine()
    const set = (register: number, value: number): number =>
      machine.ioctl(machine.vmFd, Gunyah.VM_SET_BOOT_CONTEXT, bootContext(register, value))
    set(bootRegister(BootRegister.X, 12), 0x1234)
    set(bootRegister(BootRegister.SP, 0), 0x9000)
    machine.boot(SPIN)
    expect([machine.x(10), machine.x(11), machine.x(12), machine.x(2)]).toEqual([
      0,
      RAM + 15 * PAGE,
      0x1234,
      0x9000,
    ])
    expect(set(bootRegister(BootRegister.X, 5), 1)).toBe(-Errno.EINVAL)
  })

  test('Y18 HSM starts the second hart', () => {
    const machine = booted(
      `jal a1, first\nsecond:\nmv a0, a1\nli s1, 0x1000\nsd a0, 0(s1)\nj second\nfirst:\nli a0, 1\nli a2, 77\nli a6, 0\nli a7, ${SbiExtension.HSM}\necall\n${REPORT}${SPIN}`,
      { vcpus: 2 },
    )
    machine.enter(0)
    expect(machine.vcpu(0).run.mmio.low).toBe(0)
    expect(machine.enter(1)).toBe(0)
    expect(machine.vcpu(1).run.mmio.low).toBe(77)
  })
})

describe('share and unshare', () => {
  const share = (page: number, pages: number): string =>
    ecall(SbiExtension.COVG, 2, RAM + page * PAGE, pages * PAGE)
  const unshare = (page: number, pages: number): string =>
    ecall(SbiExtension.COVG, 3, RAM + page * PAGE, pages * PAGE)
  const WRITE = `li t0, ${RAM + DATA * PAGE}\nli t1, 0x55\nsd t1, 0(t0)\n`
  const READ = `li t0, ${RAM + DATA * PAGE}\nld a0, 0(t0)\n${REPORT}`

  /** Runs to the request, answers it, and runs to the report of its result. */
  const answered = (machine: GunyahMachine, action: number): number => {
    expect(machine.enter()).toBe(0)
    const { run } = machine.vcpu()
    expect(run.exitReason).toBe(VcpuExit.SBI)
    run.setSbiResume(action)
    expect(machine.enter()).toBe(0)
    expect(run.exitReason).toBe(VcpuExit.MMIO)
    return run.mmio.low
  }

  test('Y19 allowed: a parcel of both, zeroed, that host and guest see; then lent again, zeroed', () => {
    const machine = booted(
      `${WRITE}${share(DATA, 2)}${REPORT}${READ}${WRITE}${unshare(DATA, 2)}${REPORT}${READ}${SPIN}`,
    )
    expect(answered(machine, Resume.HANDLED)).toBe(SbiError.SUCCESS)
    expect(machine.vm.parcels.all.map(({ gfn, frames }) => [gfn - RAM / PAGE, frames.length])).toEqual([
      [DATA, 2],
    ])
    expect(machine.violations()).toEqual([])
    machine.write(machine.memFd, DATA, Uint8Array.of(9))
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(9)
    expect(answered(machine, Resume.HANDLED)).toBe(SbiError.SUCCESS)
    expect(machine.vm.parcels.all).toEqual([])
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(0)
    expect(machine.read(machine.memFd, DATA, 1)).toBe(-Errno.EACCES)
    expect(machine.violations()).toEqual([])
  })

  test('Y19 a part is unshared: the rest stays shared, with its contents', () => {
    const machine = booted(`${share(DATA, 3)}${REPORT}${unshare(DATA + 1, 1)}${REPORT}${SPIN}`)
    answered(machine, Resume.HANDLED)
    for (const page of [0, 1, 2]) machine.write(machine.memFd, DATA + page, Uint8Array.of(page + 1))
    expect(answered(machine, Resume.HANDLED)).toBe(SbiError.SUCCESS)
    expect(machine.vm.parcels.all.map(({ gfn, frames }) => [gfn - RAM / PAGE, frames.length])).toEqual([
      [DATA, 1],
      [DATA + 2, 1],
    ])
    expect(machine.read(machine.memFd, DATA, 1)).toEqual(Uint8Array.of(1))
    expect(machine.read(machine.memFd, DATA + 2, 1)).toEqual(Uint8Array.of(3))
    expect(machine.violations()).toEqual([])
  })

  test('Y20 not allowed: DENIED and nothing changes', () => {
    const machine = booted(`${WRITE}${share(DATA, 1)}${REPORT}${READ}${SPIN}`)
    expect(answered(machine, Resume.FAULT)).toBe(SbiError.DENIED)
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(0x55)
    expect(machine.vm.parcels.all).toEqual([])
  })

  test.each([
    ['unaligned', ecall(SbiExtension.COVG, 2, RAM + 1, PAGE), SbiError.INVALID_ADDRESS],
    ['empty', ecall(SbiExtension.COVG, 2, RAM, 0), SbiError.INVALID_PARAM],
    ['half a page', ecall(SbiExtension.COVG, 2, RAM, 100), SbiError.INVALID_PARAM],
    ['past what is bound', ecall(SbiExtension.COVG, 2, RAM, 64 * PAGE), SbiError.INVALID_ADDRESS],
    ['unshared already', unshare(DATA, 1), SbiError.INVALID_PARAM],
    ['unknown function', ecall(SbiExtension.COVG, 9, RAM, PAGE), SbiError.NOT_SUPPORTED],
    ['another extension', ecall(SbiExtension.DBCN, 0, 1, RAM), SbiError.NOT_SUPPORTED],
  ])('Y20 %s: refused without asking', (_name, call, error) => {
    const machine = booted(`${call}${REPORT}${SPIN}`)
    machine.enter()
    expect(machine.vcpu().run.exitReason).toBe(VcpuExit.MMIO)
    expect(machine.vcpu().run.mmio.low).toBe(error)
  })

  test('Y20 a binding of FORCE_LEND stays what it is: DENIED', () => {
    const machine = booted(`${share(DATA, 1)}${REPORT}${SPIN}`, { flags: ALLOW_RWX | MemFlag.FORCE_LEND })
    machine.enter()
    expect(machine.vcpu().run.mmio.low).toBe(SbiError.DENIED)
  })

  test('Y21 a parcel that the guest has accepted cannot be punched or unmapped', () => {
    const machine = booted(`${share(DATA, 1)}${REPORT}${SPIN}`)
    answered(machine, Resume.HANDLED)
    expect(machine.punch(machine.memFd, DATA)).toBe(-Errno.EINVAL)
    const tail = { fd: machine.memFd, gpa: RAM + DATA * PAGE, offset: DATA * PAGE, size: 12 * PAGE }
    // What is told is the last refusal: that of the device tree, which is lent.
    expect(machine.mapMem(machine.vmFd, { ...tail, flags: ALLOW_RWX | MemFlag.UNMAP })).toBe(-Errno.EACCES)
    expect(machine.vm.allBindings[0].pages).toBe(16)
    expect(machine.violations()).toEqual([])
  })
})
