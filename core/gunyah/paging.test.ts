import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { hva } from '../base/units.ts'
import { PageType, PG } from '../host/folio-table.ts'
import { Resume, VcpuExit } from './run-page.ts'
import { DTB_PAGE, GunyahMachine, RAM } from './testing/gunyah-host.ts'
import { ALLOW_RWX, MemFlag } from './uapi.ts'

const PAGE = 4096
const DATA = 4

/** Touches pages DATA and DATA + 1, then reports in a loop what the first holds. */
const TOUCH = `
  li s0, ${RAM + DATA * PAGE}
  li s1, 0x1000
  li t1, 0x55
  sd t1, 0(s0)
  li t2, ${PAGE}
  add t2, t2, s0
  sd t1, 0(t2)
again:
  ld t1, 0(s0)
  sd t1, 0(s1)
  j again
`

const touched = (options: ConstructorParameters<typeof GunyahMachine>[0] = {}): GunyahMachine => {
  const machine = new GunyahMachine(options)
  expect(machine.boot(TOUCH)).toBe(0)
  expect(machine.enter()).toBe(0)
  return machine
}

describe('lending', () => {
  test('Y8 the first touch lends one page: out of the host’s stage 2, marked, referenced', () => {
    const machine = touched()
    const { folios } = machine.host.memory
    const lent = [0, DATA, DATA + 1, DTB_PAGE].map((page) => machine.frame(page))
    for (const pfn of lent) {
      if (pfn === null) throw new Error('the page has no frame')
      expect(machine.host.reaches(pfn, false)).toBe(false)
      expect(folios.has(pfn, PG.lent)).toBe(true)
      // The file's, and the guest's.
      expect(folios.refcount[pfn]).toBe(2)
    }
    expect(machine.frame(DATA + 2)).toBe(null)
    expect(machine.violations()).toEqual([])
  })

  test('Y9 a page that a process has mapped is not lent: PAGE_FAULT with EPERM; unmapped and retried, it is', () => {
    const machine = new GunyahMachine()
    machine.boot(TOUCH)
    const address = machine.mmap(machine.memFd, DATA)
    expect(address).toBeGreaterThan(0)
    expect(machine.enter()).toBe(0)
    const { run } = machine.vcpu()
    expect(run.exitReason).toBe(VcpuExit.PAGE_FAULT)
    expect(run.pageFault).toEqual({ gpa: RAM + DATA * PAGE, attempt: -Errno.EPERM, resume: Resume.FAULT })
    machine.munmap(address)
    run.setPageFaultResume(Resume.RETRY)
    expect(machine.enter()).toBe(0)
    expect(run.exitReason).toBe(VcpuExit.MMIO)
    expect(machine.violations()).toEqual([])
  })

  test('Y9 a write through a read-only binding is EPERM, a range whose binding went ENOENT', () => {
    const machine = new GunyahMachine()
    const tail = { fd: machine.memFd, gpa: RAM + DATA * PAGE, offset: DATA * PAGE, size: 12 * PAGE }
    machine.mapMem(machine.vmFd, { ...tail, flags: ALLOW_RWX | MemFlag.UNMAP })
    const readOnly = MemFlag.READ | MemFlag.EXEC
    machine.mapMem(machine.vmFd, { ...tail, flags: readOnly })
    machine.boot(TOUCH)
    machine.enter()
    const { run } = machine.vcpu()
    expect(run.pageFault.attempt).toBe(-Errno.EPERM)
    // The device tree at the end is lent, so the head goes.
    const page = { ...tail, size: PAGE, flags: readOnly | MemFlag.UNMAP }
    expect(machine.mapMem(machine.vmFd, page)).toBe(0)
    run.setPageFaultResume(Resume.RETRY)
    machine.enter()
    expect(run.exitReason).toBe(VcpuExit.PAGE_FAULT)
    expect(run.pageFault.attempt).toBe(-Errno.ENOENT)
  })
})

describe('reclaiming from a VM that runs', () => {
  test('Y10 refused: mapping and punching fail with EACCES, the guest keeps the page and what is in it', () => {
    const machine = touched()
    expect(machine.mmap(machine.memFd, DATA)).toBe(-Errno.EACCES)
    expect(machine.punch(machine.memFd, DATA, 2)).toBe(-Errno.EACCES)
    expect(machine.frame(DATA)).not.toBe(null)
    expect(machine.enter()).toBe(0)
    expect(machine.vcpu().run.mmio.low).toBe(0x55)
    expect(machine.violations()).toEqual([])
  })

  test('Y10 refused: what the guest never touched is punched all the same', () => {
    const machine = touched()
    machine.write(machine.memFd, DATA + 2, Uint8Array.of(1))
    expect(machine.punch(machine.memFd, DATA, 3)).toBe(-Errno.EACCES)
    expect(machine.frame(DATA + 2)).toBe(null)
    expect(machine.frame(DATA + 1)).not.toBe(null)
    expect(machine.violations()).toEqual([])
  })

  test('Y11 granted: the host gets the page zeroed, and the guest’s next touch lends it again', () => {
    const machine = touched({ reclaim: 'grant' })
    const address = machine.mmap(machine.memFd, DATA)
    expect(address).toBeGreaterThan(0)
    expect(machine.run(machine.syscalls.load(hva(address), 8))).toEqual({
      ok: true,
      value: new Uint8Array(8),
    })
    machine.run(machine.syscalls.store(hva(address), Uint8Array.of(9)))
    machine.munmap(address)
    expect(machine.violations()).toEqual([])
    expect(machine.enter()).toBe(0)
    expect(machine.vcpu().run.mmio.low).toBe(9)
    const pfn = machine.frame(DATA)
    expect(pfn !== null && machine.host.reaches(pfn, false)).toBe(false)
  })

  test('Y11 granted: punching takes the page from the guest, which then finds zeroes', () => {
    const machine = touched({ reclaim: 'grant' })
    expect(machine.punch(machine.memFd, DATA)).toBe(0)
    expect(machine.frame(DATA)).toBe(null)
    expect(machine.enter()).toBe(0)
    expect(machine.vcpu().run.mmio.low).toBe(0)
    expect(machine.violations()).toEqual([])
  })

  test('Y12 a page that its guest never gives back is lost for good', () => {
    const kept = RAM / PAGE + DATA
    const machine = touched({ refuses: (_vmid, gfn) => gfn === kept })
    const pfn = machine.frame(DATA)
    if (pfn === null) throw new Error('the page has no frame')
    machine.run(machine.syscalls.close(machine.vcpuFd()))
    machine.run(machine.syscalls.close(machine.vmFd))
    expect(machine.frame(DATA)).toBe(null)
    expect(machine.host.memory.folios.type(pfn)).toBe(PageType.lost)
    expect(machine.host.reaches(pfn, false)).toBe(false)
    machine.run(machine.syscalls.close(machine.memFd))
    expect(machine.violations()).toEqual([])
    // Every frame there is, is handed out once: never that one.
    for (let got = 0; got >= 0; ) {
      got = machine.host.buddy.tryAlloc(0, PageType.kernel, 0, 0)
      expect(got).not.toBe(pfn)
    }
  })
})

test('Y13 a page lent while it was in a pipe cannot be read out of it', () => {
  const machine = new GunyahMachine()
  const address = machine.mmap(machine.memFd, DATA)
  machine.run(machine.syscalls.store(hva(address), Uint8Array.of(7)))
  const ends = machine.syscalls.pipe2(0)
  if (typeof ends === 'number') throw new Error('no pipe')
  expect(machine.run(machine.syscalls.vmsplice(ends[1], address, PAGE, 0))).toBe(PAGE)
  machine.munmap(address)
  machine.boot(TOUCH)
  machine.enter()
  const target = machine.run(machine.syscalls.mmapAnonymous(PAGE))
  expect(machine.run(machine.syscalls.vmsplice(ends[0], target, 8, 0))).toBe(-Errno.EFAULT)
  expect(machine.violations()).toEqual([])
})
