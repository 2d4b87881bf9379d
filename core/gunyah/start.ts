// GUNYAH_VM_START: the VM is made by RM, its memory announced, and it runs (gunyah_vm_start, vm_mgr.c, v17).

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE, type Pfn } from '../base/units.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { Right } from './rm/memory-messages.ts'
import { VmState } from './rm/message-ids.ts'
import { RangeId } from './rm/vm-messages.ts'
import type { DeviceTreeParcel, GunyahVm } from './vm.ts'

/** gunyah_vm_ensure_started: 0 also when it runs already. ENODEV: it has ended, or an earlier start failed. */
export function* ensureStarted(vm: GunyahVm): KernelTask<void> {
  yield* vm.statusLock.writeLock()
  try {
    if (vm.status === VmState.NO_STATE) yield* start(vm)
    if (vm.status !== VmState.RUNNING) throw new KernelError('ENODEV')
  } finally {
    vm.statusLock.writeUnlock()
  }
}

function* start(vm: GunyahVm): KernelTask<void> {
  const { hypervisor, rm } = vm.system
  vm.vmid = yield* rm.allocVmid()
  hypervisor.vm(vm.vmid)?.attach(vm.row, () => vm.flush())
  vm.status = VmState.LOAD
  const tree = yield* lendDeviceTree(vm)
  vm.deviceTree = tree
  const gpa = tree.gfn * PAGE_SIZE
  yield* rm.vmConfigImage({
    vmid: vm.vmid,
    authentication: 0,
    handle: tree.handle,
    imageOffset: 0,
    imageSize: 0,
    dtbOffset: vm.dtb.gpa - gpa,
    dtbSize: vm.dtb.size,
  })
  yield* announceDemandPaging(vm)
  const size = tree.frames.length * PAGE_SIZE
  yield* rm.vmSetAddressLayout({ vmid: vm.vmid, rangeId: RangeId.IMAGE, base: gpa, size })
  try {
    yield* rm.vmInit(vm.vmid)
  } catch (error) {
    vm.status = VmState.INIT_FAILED
    throw error
  }
  vm.status = VmState.READY
  vm.resources = yield* rm.vmGetHypResources(vm.vmid)
  for (const vcpu of vm.vcpus.values()) vm.claimVcpu(vcpu)
  vm.vcpus.get(0)?.boot(gpa, vm.dtb.gpa)
  yield* rm.vmStart(vm.vmid)
  vm.status = VmState.RUNNING
  yield* toPaged(vm, tree)
}

/**
 * gunyah_gmem_share_parcel, for the device tree: RM wants it lent, so that nobody changes it while the VM starts.
 * EINVAL: no configuration; ENOENT: it is not within one binding; EPERM: the host maps it.
 */
function* lendDeviceTree(vm: GunyahVm): KernelTask<DeviceTreeParcel> {
  const gfn = Math.floor(vm.dtb.gpa / PAGE_SIZE)
  const pages = Math.ceil((vm.dtb.gpa + vm.dtb.size) / PAGE_SIZE) - gfn
  if (vm.dtb.size === 0) throw new KernelError('EINVAL')
  yield* vm.bindingsLock.readLock()
  try {
    const binding = vm.bindings.get(gfn)
    if (!binding || gfn + pages > binding.endGfn) throw new KernelError('ENOENT')
    const { inode } = binding.gmem
    yield* inode.invalidateLock.readLock()
    try {
      const frames: Pfn[] = []
      for (let index = binding.fileIndexOf(gfn); frames.length < pages; index++) {
        const pfn = index < inode.pages ? inode.folioOrCreate(index) : -1
        if (pfn < 0) throw new KernelError('ENOMEM')
        inode.makeUptodate(pfn as Pfn)
        if (vm.host.memory.folios.mapcount[pfn] > 0) throw new KernelError('EPERM')
        frames.push(pfn as Pfn)
      }
      const handle = yield* vm.system.rm.memLend({
        label: gfn,
        acl: [{ vmid: vm.vmid, rights: Right.R | Right.W | Right.X }],
        sgl: frames.map((pfn) => ({ ipa: pfn * PAGE_SIZE, size: PAGE_SIZE })),
      })
      for (const pfn of frames) vm.host.buddy.get(pfn)
      return { handle, gfn, frames }
    } finally {
      inode.invalidateLock.readUnlock()
    }
  } finally {
    vm.bindingsLock.readUnlock()
  }
}

/** gunyah_gmem_setup_demand_paging: the lend bindings, and only those. */
function* announceDemandPaging(vm: GunyahVm): KernelTask<void> {
  const lent = vm.allBindings.filter((binding) => binding.lend)
  for (const { baseGfn, endGfn } of lent) vm.demandPaged.store(baseGfn, endGfn, true)
  const ranges = lent.map(({ baseGfn, pages }) => ({ ipa: baseGfn * PAGE_SIZE, size: pages * PAGE_SIZE }))
  if (ranges.length > 0) yield* vm.system.rm.vmSetDemandPaging({ vmid: vm.vmid, ranges })
}

/** gunyah_vm_parcel_to_paged: from now on the driver knows the device tree's pages as if the guest had touched them. */
function* toPaged(vm: GunyahVm, { gfn, frames }: DeviceTreeParcel): KernelTask<void> {
  yield* vm.providedLock.lock()
  for (const [i, pfn] of frames.entries())
    vm.provided.set(gfn + i, { pfn, share: false, write: true, parcel: null })
  vm.providedLock.unlock()
  vm.deviceTree = null
  vm.mirrorStage2()
}
