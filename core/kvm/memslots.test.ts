import { expect, test } from 'vitest'
import { Errno } from '../base/errno.ts'
import { gpa } from '../base/units.ts'
import { OpenFile } from '../host/file.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Process } from '../host/process.ts'
import { handleGuestFault } from './fault.ts'
import { KvmHost, noVcpus } from './testing/kvm-host.ts'
import { Kvm, MemFlag, memoryRegion2 } from './uapi.ts'
import type { KvmHooks } from './vm.ts'

const PAGE = 4096
const MIB = 2 ** 20

const machine = (hooks: KvmHooks = noVcpus) => {
  const kvm = new KvmHost({ bytes: 64 * MIB, hooks })
  return { kvm, ...kvm.createVm(0), uaddr: kvm.anonymous(MIB) }
}

test('K1 every user slot can be added, no more, cheaply; deleting them all leaves none', () => {
  const { kvm, fd, vm } = machine()
  const started = performance.now()
  for (let slot = 0; slot < 32767; slot++)
    if (kvm.setSlot(fd, { slot, gpa: slot * 2 * PAGE, size: PAGE }) !== 0) throw new Error(`slot ${slot}`)
  expect(performance.now() - started).toBeLessThan(5000)
  expect(kvm.setSlot(fd, { slot: 32767, gpa: 2 ** 40, size: PAGE })).toBe(-Errno.EINVAL)
  expect(vm.slots.find(20_001 * 2)?.id).toBe(20_001)
  expect(vm.slots.find(20_001 * 2 + 1)).toBeNull()
  for (let slot = 32766; slot >= 0; slot--) kvm.setSlot(fd, { slot, size: 0 })
  expect(vm.slots.sorted).toEqual([])
})

const deletion = (fd: number, kvm: KvmHost): KernelTask<number> =>
  kvm.syscalls.ioctl(
    fd,
    Kvm.SET_USER_MEMORY_REGION2,
    memoryRegion2({
      slot: 0,
      flags: 0,
      guestPhysAddr: 0,
      memorySize: 0,
      userspaceAddr: 0,
      guestMemfdOffset: 0,
      guestMemfd: -1,
    }),
  )

test('M3 a slot that is being deleted is INVALID to faults, which retry; afterwards the address is MMIO', () => {
  const { kvm, fd, vm, uaddr } = machine()
  const { scheduler } = kvm.host
  kvm.setSlot(fd, { size: MIB, uaddr })
  const task = scheduler.spawn('delete', deletion(fd, kvm))
  while (task.step?.at !== 'kvm_set_memslot/invalid_published') scheduler.step(task)
  expect(vm.slots.byId(0)?.invalid).toBe(true)
  expect(kvm.host.memory.tables.readSlots(vm.row)[0].flags & MemFlag.INVALID).toBe(MemFlag.INVALID)
  const fault = scheduler.spawn('fault', handleGuestFault(vm, gpa(0), 'read'))
  while (!fault.done) scheduler.step(fault)
  expect(fault.value).toEqual({ kind: 'resume' })
  expect(vm.stage2.leaf(0)).toBeNull()
  scheduler.pump()
  expect(task.value).toBe(0)
  expect(kvm.run(handleGuestFault(vm, gpa(0), 'read'))).toEqual({ kind: 'mmio' })
})

test('a swap waits for the readers of the old set', () => {
  const { kvm, fd, vm, uaddr } = machine()
  const { scheduler } = kvm.host
  kvm.setSlot(fd, { size: MIB, uaddr })
  const reader = vm.srcu.lock()
  const task = scheduler.spawn('delete', deletion(fd, kvm))
  expect(scheduler.pump()).toBe('waiting')
  expect(task.step?.at).toBe('synchronize_srcu/readers')
  vm.srcu.unlock(reader)
  expect(scheduler.pump()).toBe('idle')
  expect(task.value).toBe(0)
})

test('S1 a move unmaps the old place; an overlapping one changes nothing', () => {
  const { kvm, fd, vm, uaddr } = machine()
  kvm.setSlot(fd, { size: MIB, uaddr })
  kvm.setSlot(fd, { slot: 1, gpa: 4 * MIB, size: MIB, uaddr })
  kvm.run(handleGuestFault(vm, gpa(PAGE), 'write'))
  expect(kvm.setSlot(fd, { gpa: 4 * MIB - PAGE, size: MIB, uaddr })).toBe(-Errno.EEXIST)
  expect(vm.stage2.leaf(1)).not.toBeNull()
  expect(kvm.setSlot(fd, { gpa: 8 * MIB, size: MIB, uaddr })).toBe(0)
  expect(vm.stage2.leaf(1)).toBeNull()
  expect(vm.slots.sorted.map((slot) => slot.baseGfn)).toEqual([1024, 2048])
})

test('K1 a move that the architecture refuses brings the slot back', () => {
  const { kvm, fd, vm, uaddr } = machine()
  kvm.setSlot(fd, { size: MIB, uaddr })
  expect(kvm.setSlot(fd, { gpa: 2 ** 41, size: MIB, uaddr })).toBe(-Errno.EFAULT)
  expect(vm.slots.byId(0)).toMatchObject({ baseGfn: 0, invalid: false })
  expect(vm.inactiveSlots.byId(0)).toBe(vm.slots.byId(0))
  expect(kvm.setSlot(fd, { gpa: 2 * MIB, size: MIB, uaddr })).toBe(0)
})

test('M1 a write to a read-only slot is MMIO, a read maps it without write permission', () => {
  const { kvm, fd, vm, uaddr } = machine()
  kvm.setSlot(fd, { flags: MemFlag.READONLY, size: MIB, uaddr })
  expect(kvm.run(handleGuestFault(vm, gpa(0), 'write'))).toEqual({ kind: 'mmio' })
  expect(kvm.run(handleGuestFault(vm, gpa(0), 'read'))).toEqual({ kind: 'resume' })
  expect(vm.stage2.leaf(0)).toMatchObject({ writable: false })
})

test('a slot over nothing mapped faults with EFAULT', () => {
  const { kvm, fd, vm } = machine()
  kvm.setSlot(fd, { size: MIB, uaddr: 0x10000000 })
  expect(kvm.run(handleGuestFault(vm, gpa(0), 'read'))).toMatchObject({
    kind: 'memory_fault',
    private: false,
  })
})

test('M1 an MMAP file serves every fault of its slot, shared with the host', () => {
  const { kvm, fd, vm } = machine()
  const gmem = kvm.createGmem(fd, MIB, 3)
  const at = kvm.run(kvm.syscalls.mmap(MIB, 3, 1, gmem, 0))
  kvm.setSlot(fd, { flags: MemFlag.GUEST_MEMFD, size: MIB, fd: gmem })
  kvm.run(kvm.syscalls.store((at + 5) as never, Uint8Array.of(0xaa)))
  expect(kvm.run(handleGuestFault(vm, gpa(0), 'write'))).toEqual({ kind: 'resume' })
  const leaf = vm.stage2.leaf(0)
  if (!leaf) throw new Error('not mapped')
  expect(kvm.host.memory.frame(leaf.pfn)[5]).toBe(0xaa)
  expect(kvm.run(kvm.syscalls.fallocate(gmem, 3, 0, PAGE))).toBe(0)
  expect(vm.stage2.leaf(0)).toBeNull()
})

test('K1 vCPU ids are checked, a vCPU file keeps the VM alive', () => {
  class VcpuFile extends OpenFile {
    static vm: { get(): unknown; put(): KernelTask<void> }
    protected override *release(): KernelTask<void> {
      yield* VcpuFile.vm.put()
    }
  }
  const hooks: KvmHooks = {
    ...noVcpus,
    *createVcpu(vm, id) {
      yield { at: 'kvm_vm_ioctl_create_vcpu' }
      VcpuFile.vm = vm.get()
      const inode = { ...vm.process.fds.getRaw(0).inode, name: `anon_inode:kvm-vcpu:${id}` }
      return new VcpuFile(inode, 2)
    },
  }
  const { kvm, fd } = machine(hooks)
  expect(kvm.ioctl(fd, Kvm.CREATE_VCPU, 99)).toBe(-Errno.EINVAL)
  const vcpu = kvm.ioctl(fd, Kvm.CREATE_VCPU, 0)
  expect(kvm.syscalls.readlinkFd(vcpu)).toBe('anon_inode:kvm-vcpu:0')
  expect(kvm.ioctl(fd, Kvm.CREATE_VCPU, 0)).toBe(-Errno.EEXIST)
  kvm.run(kvm.syscalls.close(fd))
  expect(kvm.system.vms.size).toBe(1)
  kvm.run(kvm.syscalls.close(vcpu))
  expect(kvm.system.vms.size).toBe(0)
})

test('K1 an ioctl from another process is EIO', () => {
  const { kvm, vm } = machine()
  const other = new Process(kvm.host)
  const file = kvm.process.fds.getRaw(kvm.process.fds.open().at(-1) ?? -1)
  expect(() => kvm.run(file.ioctl(other, Kvm.CHECK_EXTENSION, 3))).toThrow('EIO')
  expect(vm.process).toBe(kvm.process)
})

test('F3 a vCPU whose descriptor numbers ran out while it was made is let go of', () => {
  let made = false
  let go = false
  const hooks: KvmHooks = {
    ...noVcpus,
    *createVcpu(vm) {
      made = true
      yield { at: 'test/create_vcpu', until: () => go }
      vm.get()
      return new (class extends OpenFile {
        protected override release(): KernelTask<void> {
          return vm.put()
        }
      })(vm.process.fds.getRaw(0).inode, 2)
    },
  }
  const { kvm, fd } = machine(hooks)
  const task = kvm.host.scheduler.spawn('vcpu', kvm.syscalls.ioctl(fd, Kvm.CREATE_VCPU, 0))
  kvm.host.scheduler.pump()
  expect(made).toBe(true)
  while (kvm.syscalls.dup(0) >= 0);
  go = true
  kvm.host.scheduler.pump()
  expect(task.value).toBe(-Errno.EMFILE)
  kvm.run(kvm.syscalls.close(fd))
  expect(kvm.system.vms.size).toBe(0)
})

test('K1 KVM_CREATE_VM wants a descriptor first: EMFILE, whatever the type', () => {
  const { kvm } = machine()
  expect(kvm.ioctl(kvm.kvm, Kvm.CREATE_VM, 77)).toBe(-Errno.EINVAL)
  while (kvm.syscalls.dup(kvm.kvm) >= 0);
  expect(kvm.ioctl(kvm.kvm, Kvm.CREATE_VM, 77)).toBe(-Errno.EMFILE)
})
