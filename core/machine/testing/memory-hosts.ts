// The same guest memory under KVM and under Gunyah, by each one's own calls: what docs/core-sharing.md counts, and
// what the sharing bench times. No vCPU runs: a guest's touch is the call that its fault makes.

import { gpa, hva, PAGE_SIZE } from '../../base/units.ts'
import { GmemFile } from '../../gmem/file.ts'
import { GmemFlag } from '../../gmem/inode.ts'
import { demandPage } from '../../gunyah/paging.ts'
import { GunyahHost } from '../../gunyah/testing/gunyah-host.ts'
import { ALLOW_RWX, dtbConfig, Gunyah, MemFlag } from '../../gunyah/uapi.ts'
import { Falloc } from '../../host/fallocate.ts'
import { HostMemory } from '../../host/host-memory.ts'
import { MapFlag } from '../../host/mmap.ts'
import { Prot } from '../../host/vma.ts'
import type { LinuxVersion } from '../../kvm/behaviours.ts'
import { handleGuestFault } from '../../kvm/fault.ts'
import { hostProfile } from '../../kvm/profiles.ts'
import { KvmHost } from '../../kvm/testing/kvm-host.ts'
import {
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  Kvm,
  MemFlag as KvmMemFlag,
  memoryAttributes2,
} from '../../kvm/uapi.ts'

/** Where the memory is bound. */
export const BASE = 0x8000_0000
/** Gunyah lends a device tree to start a VM: a page, apart from the memory at hand. */
const DEVICE_TREE = 0x7000_0000

const { KEEP_SIZE, PUNCH_HOLE } = Falloc

export interface MemoryHostOptions {
  readonly bytes: number
  /** The guest's alone (PRIVATE, lent), or the host's too (a mappable file; shared). */
  readonly kind: 'private' | 'shared'
  readonly poison: boolean
  /** Gunyah: whether the hypervisor takes a lent page from a VM that runs. */
  readonly reclaim: 'refuse' | 'grant'
  /** Linux version of the KVM host. */
  readonly version: LinuxVersion
}

export const defaults: MemoryHostOptions = {
  bytes: 16 * 2 ** 20,
  kind: 'private',
  poison: true,
  reclaim: 'grant',
  version: '6.18',
}

/** A host with one VM. Calls throw when the kernel refuses, unless they say that they return its answer. */
export abstract class MemoryHost {
  abstract readonly name: 'KVM' | 'Gunyah'
  protected abstract readonly kernel: KvmHost | GunyahHost
  /** What the core asks of this hypervisor. */
  abstract readonly operations: object

  get host(): KvmHost['host'] {
    return this.kernel.host
  }

  /** A new file of the kind that the host is for: its descriptor. */
  abstract create(pages: number): number
  /** Shows the first pages of a file to the guest, from BASE. */
  abstract bind(file: number, pages: number): void
  abstract unbind(file: number, pages: number): void
  /** A page's first write by the guest; from BASE. */
  abstract touch(page: number): void
  /** Gives pages of a bound file another state: KVM by attributes, Gunyah by a parcel. */
  abstract convert(file: number, page: number, pages: number, to: 'private' | 'shared'): void

  allocate(file: number, page: number, pages: number): void {
    succeeded(this.#fallocate(file, KEEP_SIZE, page, pages))
  }

  /** 0 or a negative errno. */
  punch(file: number, page: number, pages: number): number {
    return this.#fallocate(file, KEEP_SIZE | PUNCH_HOLE, page, pages)
  }

  close(file: number): void {
    succeeded(this.kernel.run(this.kernel.syscalls.close(file)))
  }

  /** Maps a file's first pages into the process: the address. */
  mmap(file: number, pages: number): number {
    const { kernel } = this
    const rights = Prot.READ | Prot.WRITE
    return succeeded(kernel.run(kernel.syscalls.mmap(pages * PAGE_SIZE, rights, MapFlag.SHARED, file, 0)))
  }

  munmap(address: number, pages: number): void {
    succeeded(this.kernel.run(this.kernel.syscalls.munmap(address, pages * PAGE_SIZE)))
  }

  /** The process writes bytes. */
  store(address: number, bytes: Uint8Array): void {
    const { ok } = this.kernel.run(this.kernel.syscalls.store(hva(address), bytes))
    if (!ok) throw new Error('the process got a signal')
  }

  /** The process reads bytes. */
  load(address: number, length: number): void {
    const { ok } = this.kernel.run(this.kernel.syscalls.load(hva(address), length))
    if (!ok) throw new Error('the process got a signal')
  }

  /** The file behind a descriptor. */
  file(fd: number): GmemFile<unknown> {
    const file = this.kernel.process.fds.get(fd)
    if (!(file instanceof GmemFile)) throw new Error('not a guest memory file')
    return file as GmemFile<unknown>
  }

  #fallocate(file: number, mode: number, page: number, pages: number): number {
    const { kernel } = this
    return kernel.run(kernel.syscalls.fallocate(file, mode, page * PAGE_SIZE, pages * PAGE_SIZE))
  }
}

/** Type 0: no private memory; 1: software-protected. */
export class KvmMemory extends MemoryHost {
  readonly name = 'KVM'
  readonly kernel: KvmHost
  readonly vm: ReturnType<KvmHost['createVm']>
  readonly #options: MemoryHostOptions

  constructor(options: Partial<MemoryHostOptions> = {}) {
    super()
    this.#options = { ...defaults, ...options }
    const { bytes, poison, version, kind } = this.#options
    this.kernel = new KvmHost({ profile: hostProfile('x86', version), bytes, poison })
    this.vm = this.kernel.createVm(kind === 'private' ? 1 : 0)
  }

  get operations(): object {
    return this.vm.vm.gmemOperations
  }

  get #inPlace(): boolean {
    return this.vm.vm.profile.inPlaceConversion
  }

  create(pages: number): number {
    const mappable = GmemFlag.MMAP | GmemFlag.INIT_SHARED
    const flags = this.#options.kind === 'shared' ? mappable : this.#inPlace ? GmemFlag.MMAP : 0
    return succeeded(this.kernel.createGmem(this.vm.fd, pages * PAGE_SIZE, flags))
  }

  bind(file: number, pages: number): void {
    const size = pages * PAGE_SIZE
    const slot = { flags: KvmMemFlag.GUEST_MEMFD, gpa: BASE, size, fd: file }
    succeeded(this.kernel.setSlot(this.vm.fd, slot))
    if (this.#options.kind === 'private' && !this.#inPlace)
      succeeded(this.kernel.setAttributes(this.vm.fd, BASE, size, KVM_MEMORY_ATTRIBUTE_PRIVATE))
  }

  unbind(): void {
    succeeded(this.kernel.setSlot(this.vm.fd, { flags: 0, gpa: BASE, size: 0 }))
  }

  touch(page: number): void {
    const { kind } = this.kernel.run(handleGuestFault(this.vm.vm, gpa(BASE + page * PAGE_SIZE), 'write'))
    if (kind !== 'resume') throw new Error(`the guest's fault ended as ${kind}`)
  }

  convert(file: number, page: number, pages: number, to: 'private' | 'shared'): void {
    const attributes = to === 'private' ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0
    const [at, size] = [page * PAGE_SIZE, pages * PAGE_SIZE]
    const { kernel } = this
    if (!this.#inPlace) succeeded(kernel.setAttributes(this.vm.fd, BASE + at, size, attributes))
    else succeeded(kernel.ioctl(file, Kvm.SET_MEMORY_ATTRIBUTES2, memoryAttributes2(at, size, attributes)))
  }
}

/** The VM has started: lending and sharing go through the hypervisor's calls. */
export class GunyahMemory extends MemoryHost {
  readonly name = 'Gunyah'
  readonly kernel: GunyahHost
  readonly vm: ReturnType<GunyahHost['createVm']>
  readonly #transfer: number

  constructor(options: Partial<MemoryHostOptions> = {}) {
    super()
    const { bytes, poison, kind, reclaim } = { ...defaults, ...options }
    this.kernel = new GunyahHost({ reclaim }, HostMemory.create(bytes), { poison })
    this.vm = this.kernel.createVm()
    this.#transfer = kind === 'shared' ? MemFlag.FORCE_SHARE : 0
    const tree = this.kernel.createMem(1)
    const { fd } = this.vm
    succeeded(this.kernel.mapMem(fd, { gpa: DEVICE_TREE, fd: tree, size: PAGE_SIZE }))
    succeeded(
      this.kernel.ioctl(fd, Gunyah.VM_SET_DTB_CONFIG, dtbConfig({ gpa: DEVICE_TREE, size: PAGE_SIZE })),
    )
    succeeded(this.kernel.ioctl(fd, Gunyah.VM_START))
  }

  get operations(): object {
    return this.kernel.system.guestMem
  }

  create(pages: number): number {
    return succeeded(this.kernel.createMem(pages))
  }

  bind(file: number, pages: number): void {
    succeeded(this.#map(file, pages, 0))
  }

  unbind(file: number, pages: number): void {
    succeeded(this.#map(file, pages, MemFlag.UNMAP))
  }

  touch(page: number): void {
    this.kernel.run(demandPage(this.vm.vm, gpa(BASE + page * PAGE_SIZE), true))
  }

  convert(_file: number, page: number, pages: number, to: 'private' | 'shared'): void {
    const { parcels } = this.vm.vm
    const start = BASE / PAGE_SIZE + page
    const range = { start, end: start + pages }
    this.kernel.run(to === 'shared' ? parcels.share(range) : parcels.unshare(range))
  }

  #map(file: number, pages: number, unmap: number): number {
    const flags = ALLOW_RWX | this.#transfer | unmap
    return this.kernel.mapMem(this.vm.fd, { gpa: BASE, flags, fd: file, size: pages * PAGE_SIZE })
  }
}

const succeeded = (result: number): number => {
  if (result < 0) throw new Error(`a call failed with errno ${-result}`)
  return result
}
