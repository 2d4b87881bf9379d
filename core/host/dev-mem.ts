// /dev/mem: the host's physical memory, frame by frame, for a privileged process (drivers/char/mem.c, v7.2, without
// CONFIG_STRICT_DEVMEM).
//
// Its mappings show frames without owning them (VM_PFNMAP): no reference, no map count. No page table of the host's own
// stands between a process and a guest's page here, so what is left is the hypervisor's: the host's stage 2, where it
// has one.

import { KernelError } from '../base/errno.ts'
import type { Pfn } from '../base/units.ts'
import { FileType, OpenFile, OpenFlag, openedWith, VM_FAULT_SIGBUS } from './file.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'
import type { Vma } from './vma.ts'

/** statfs(2) of devtmpfs, which is a tmpfs (TMPFS_MAGIC). */
const devtmpfs = { magic: 0x01021994, blockSize: 4096, blocks: 0, nameLength: 255, noExec: false }

export class DevMem extends OpenFile {
  readonly #host: Host

  constructor(host: Host) {
    super(
      {
        number: host.nextInode(),
        mode: FileType.character | 0o640,
        links: 1,
        size: 0,
        name: '/dev/mem',
        fileSystem: devtmpfs,
      },
      openedWith(OpenFlag.RDWR),
    )
    this.#host = host
  }

  /** open("/dev/mem", O_RDWR | O_CLOEXEC): a descriptor. EPERM: the process is not privileged. EMFILE. */
  static open(process: Process): number {
    if (!process.privileged) throw new KernelError('EPERM')
    process.fds.reserve()
    return process.fds.install(new DevMem(process.host), true)
  }

  override get mappable(): boolean {
    return true
  }

  override get pfnMap(): boolean {
    return true
  }

  override *mmap(_vma: Vma): KernelTask<void> {}

  /** The page index is the frame's number; beyond the memory there is none. */
  // biome-ignore lint/correctness/useYield: memory is always there
  override *fault(_vma: Vma, index: number): KernelTask<Pfn | number> {
    return index < this.#host.memory.layout.frames ? (index as Pfn) : VM_FAULT_SIGBUS
  }
}
