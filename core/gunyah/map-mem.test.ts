import { describe, expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { GunyahHost, type MapRequest, RAM } from './testing/gunyah-host.ts'
import { ALLOW_RWX, createMemArgs, dtbConfig, GuestMemFlag, Gunyah, MemFlag } from './uapi.ts'

const PAGE = 4096
const RW = MemFlag.READ | MemFlag.WRITE

const setUp = () => {
  const gunyah = new GunyahHost()
  const { fd, vm } = gunyah.createVm()
  return { gunyah, fd, vm, mem: gunyah.createMem() }
}

describe('GUNYAH_VM_MAP_MEM', () => {
  test('Y2 what is wrong is EINVAL, a bad descriptor too, and nothing is bound', () => {
    const { gunyah, fd, vm, mem } = setUp()
    const wrong: MapRequest[] = [
      { fd: 999 },
      { fd: -1 },
      { fd: gunyah.device },
      { fd: mem, flags: ALLOW_RWX | (1 << 9) },
      { fd: mem, flags: 0 },
      { fd: mem, flags: MemFlag.FORCE_SHARE },
      { fd: mem, flags: ALLOW_RWX | 3 },
      { fd: mem, gpa: RAM + 1 },
      { fd: mem, offset: 1 },
      { fd: mem, size: 1 },
    ]
    for (const request of wrong)
      expect(gunyah.mapMem(fd, request), JSON.stringify(request)).toBe(-Errno.EINVAL)
    expect(vm.allBindings).toEqual([])
    expect(gunyah.ioctl(fd, Gunyah.VM_MAP_MEM, new Uint8Array(31))).toBe(-Errno.EFAULT)
  })

  test('Y3 a page of a file is at one address of one VM', () => {
    const { gunyah, fd, vm, mem } = setUp()
    const other = gunyah.createVm()
    expect(gunyah.mapMem(fd, { fd: mem, size: 4 * PAGE })).toBe(0)
    for (const offset of [0, PAGE, 3 * PAGE]) {
      const elsewhere = { fd: mem, gpa: RAM + 64 * PAGE, offset, size: 2 * PAGE }
      expect(gunyah.mapMem(fd, elsewhere)).toBe(-Errno.EEXIST)
      expect(gunyah.mapMem(other.fd, elsewhere)).toBe(-Errno.EEXIST)
    }
    // Half-open: the next page is free.
    expect(gunyah.mapMem(other.fd, { fd: mem, offset: 4 * PAGE, size: 4 * PAGE })).toBe(0)
    expect(vm.allBindings.length).toBe(1)
    expect(gunyah.violations()).toEqual([])
  })

  test('Y3 guest ranges do not overlap, whatever the file; the refused range of the file stays free', () => {
    const { gunyah, fd, mem } = setUp()
    const second = gunyah.createMem()
    expect(gunyah.mapMem(fd, { fd: mem, size: 4 * PAGE })).toBe(0)
    for (const gpa of [RAM, RAM + PAGE, RAM + 3 * PAGE, RAM - PAGE])
      expect(gunyah.mapMem(fd, { fd: second, gpa, size: 2 * PAGE })).toBe(-Errno.EEXIST)
    expect(gunyah.mapMem(fd, { fd: second, gpa: RAM + 4 * PAGE, size: 2 * PAGE })).toBe(0)
    expect(gunyah.violations()).toEqual([])
  })

  test('Y2 neither the size of the file nor the end of the addresses is checked', () => {
    const { gunyah, fd, mem } = setUp()
    expect(gunyah.mapMem(fd, { fd: mem, offset: 1024 * PAGE, size: 4 * PAGE })).toBe(0)
    expect(gunyah.mapMem(fd, { fd: mem, gpa: 2 ** 60, size: 4 * PAGE })).toBe(0)
    expect(gunyah.violations()).toEqual([])
  })

  test('Y4 unmapping: exact, head and tail; a hole in the middle is EINVAL; anything else ENOENT', () => {
    const { gunyah, fd, vm, mem } = setUp()
    const unmap = (page: number, pages: number, change: Partial<MapRequest> = {}): number =>
      gunyah.mapMem(fd, {
        fd: mem,
        flags: ALLOW_RWX | MemFlag.UNMAP,
        gpa: RAM + page * PAGE,
        offset: page * PAGE,
        size: pages * PAGE,
        ...change,
      })
    gunyah.mapMem(fd, { fd: mem, size: 8 * PAGE })
    const ranges = () => vm.allBindings.map((it) => [it.baseGfn - RAM / PAGE, it.fileIndex, it.pages])
    expect(unmap(2, 2)).toBe(-Errno.EINVAL)
    expect(unmap(0, 9)).toBe(-Errno.ENOENT)
    expect(unmap(0, 8, { flags: RW | MemFlag.UNMAP })).toBe(-Errno.ENOENT)
    expect(unmap(0, 8, { flags: ALLOW_RWX | MemFlag.FORCE_LEND | MemFlag.UNMAP })).toBe(-Errno.ENOENT)
    expect(unmap(0, 8, { fd: gunyah.createMem() })).toBe(-Errno.ENOENT)
    expect(unmap(1, 7, { offset: 0 })).toBe(-Errno.ENOENT)
    expect(unmap(40, 1)).toBe(-Errno.ENOENT)
    expect(ranges()).toEqual([[0, 0, 8]])
    expect(unmap(0, 2)).toBe(0)
    expect(ranges()).toEqual([[2, 2, 6]])
    expect(unmap(6, 2)).toBe(0)
    expect(ranges()).toEqual([[2, 2, 4]])
    expect(gunyah.violations()).toEqual([])
    expect(unmap(2, 4)).toBe(0)
    expect(ranges()).toEqual([])
    // Free again, in the file and in the guest.
    expect(gunyah.mapMem(fd, { fd: mem, size: 8 * PAGE })).toBe(0)
    expect(gunyah.violations()).toEqual([])
  })

  test('Y5 a binding keeps the file when its descriptor is closed, and lets go of it when it is unmapped', () => {
    const { gunyah, fd, vm, mem } = setUp()
    gunyah.write(mem, 1, Uint8Array.of(7))
    gunyah.mapMem(fd, { fd: mem, size: 4 * PAGE })
    const [{ gmem }] = vm.allBindings
    const free = gunyah.host.buddy.freeFrames
    gunyah.run(gunyah.syscalls.close(mem))
    expect(gmem.live).toBe(true)
    expect(gmem.inode.folio(1)).not.toBe(null)
    const again = gunyah.process.fds.install(gmem.get(), false)
    const flags = ALLOW_RWX | MemFlag.UNMAP
    expect(gunyah.mapMem(fd, { fd: again, flags, size: 4 * PAGE })).toBe(0)
    gunyah.run(gunyah.syscalls.close(again))
    expect(gmem.live).toBe(false)
    expect(gunyah.host.buddy.freeFrames).toBe(free + 1)
  })

  test('Y2 without single pages in the direct map nothing can be lent, only shared', () => {
    const gunyah = new GunyahHost({ directMapPages: false })
    const { fd } = gunyah.createVm()
    const mem = gunyah.createMem()
    expect(gunyah.mapMem(fd, { fd: mem })).toBe(-Errno.EINVAL)
    expect(gunyah.mapMem(fd, { fd: mem, flags: ALLOW_RWX | MemFlag.FORCE_LEND })).toBe(-Errno.EINVAL)
    expect(gunyah.mapMem(fd, { fd: mem, flags: RW | MemFlag.FORCE_SHARE })).toBe(0)
  })
})

describe('/dev/gunyah and the VM', () => {
  test('Y6 CREATE_VM takes no argument, CREATE_GUEST_MEM known flags and whole pages', () => {
    const { gunyah } = setUp()
    const create = (size: number, flags: number): number =>
      gunyah.ioctl(gunyah.device, Gunyah.CREATE_GUEST_MEM, createMemArgs(size, flags))
    expect(gunyah.ioctl(gunyah.device, Gunyah.CREATE_VM, 1)).toBe(-Errno.EINVAL)
    expect(create(PAGE + 1, 0)).toBe(-Errno.EINVAL)
    expect(create(PAGE, 1 << 2)).toBe(-Errno.EINVAL)
    expect(gunyah.ioctl(gunyah.device, Gunyah.CREATE_GUEST_MEM, new Uint8Array(8))).toBe(-Errno.EFAULT)
    const fd = create(PAGE, GuestMemFlag.CLOEXEC)
    expect(gunyah.process.fds.closeOnExec(fd)).toBe(true)
    expect(gunyah.process.fds.closeOnExec(create(PAGE, 0))).toBe(false)
    expect(gunyah.ioctl(fd, 0x4700)).toBe(-Errno.ENOTTY)
    expect(gunyah.ioctl(gunyah.device, Gunyah.VM_START)).toBe(-Errno.ENOTTY)
  })

  test('Y6 SET_DTB_CONFIG refuses a range that wraps; SET_BOOT_CONTEXT registers that there are not', () => {
    const { gunyah, fd } = setUp()
    const config = (gpa: number, size: number): number =>
      gunyah.ioctl(fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig({ gpa, size }))
    expect(config(2 ** 64 - 8192, 8192)).toBe(-Errno.EOVERFLOW)
    expect(config(RAM, PAGE)).toBe(0)
    const boot = (register: number): number => {
      const context = new Uint8Array(16)
      new DataView(context.buffer).setUint32(0, register, true)
      return gunyah.ioctl(fd, Gunyah.VM_SET_BOOT_CONTEXT, context)
    }
    for (const register of [0x001, 0x01f, 0x100, 0x200]) expect(boot(register)).toBe(0)
    for (const register of [0x000, 0x020, 0x101, 0x201, 0x300, 0x10000])
      expect(boot(register), register.toString(16)).toBe(-Errno.EINVAL)
  })

  test('Y6 functions: only vCPUs, one of an id, removed once', () => {
    const { gunyah, fd, vm } = setUp()
    const vcpu = gunyah.addVcpu(fd, 3)
    expect(vcpu).toBeGreaterThan(0)
    expect(gunyah.addVcpu(fd, 3)).toBe(-Errno.EEXIST)
    const describe_ = (number: number, type: number, size: number, argument: number): number => {
      const bytes = new Uint8Array(16)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, type, true)
      view.setUint32(4, size, true)
      view.setUint32(8, argument, true)
      return gunyah.ioctl(fd, number, bytes)
    }
    expect(describe_(Gunyah.VM_ADD_FUNCTION, 1, 257, 0)).toBe(-Errno.EINVAL)
    expect(describe_(Gunyah.VM_ADD_FUNCTION, 1, 0, 0)).toBe(-Errno.EINVAL)
    expect(describe_(Gunyah.VM_ADD_FUNCTION, 1, 4, 0)).toBe(-Errno.EFAULT)
    for (const type of [2, 3, 9]) expect(describe_(Gunyah.VM_ADD_FUNCTION, type, 4, 0)).toBe(-Errno.ENOENT)
    expect(describe_(Gunyah.VM_REMOVE_FUNCTION, 2, 0, 0)).toBe(-Errno.ENOENT)
    expect(gunyah.ioctl(vcpu, Gunyah.VCPU_MMAP_SIZE)).toBe(PAGE)
    expect(gunyah.ioctl(vcpu, Gunyah.VCPU_RUN)).toBe(-Errno.ENODEV)
    expect(vm.vcpus.size).toBe(1)
  })

  test('Y7 VM_START wants a device tree within one binding that no process maps', () => {
    const { gunyah, fd, vm, mem } = setUp()
    expect(gunyah.ioctl(fd, Gunyah.VM_START)).toBe(-Errno.EINVAL)
    // A start that failed is not repeated.
    expect(gunyah.ioctl(fd, Gunyah.VM_START)).toBe(-Errno.ENODEV)
    const second = gunyah.createVm()
    gunyah.ioctl(second.fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig({ gpa: RAM, size: PAGE }))
    expect(gunyah.ioctl(second.fd, Gunyah.VM_START)).toBe(-Errno.ENOENT)
    const third = gunyah.createVm()
    gunyah.mapMem(third.fd, { fd: mem })
    gunyah.ioctl(third.fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig({ gpa: RAM, size: PAGE }))
    expect(gunyah.ioctl(third.fd, Gunyah.VM_START)).toBe(0)
    expect(gunyah.ioctl(third.fd, Gunyah.VM_START)).toBe(0)
    expect(vm.status).not.toBe(third.vm.status)
    expect(gunyah.violations()).toEqual([])
  })
})
