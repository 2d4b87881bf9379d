// The machine's typed control API: what the page (through Comlink), headless runs and tests call.
//
// The hypervisor worker implements it. Everything that is drawn comes from the shared tables (view.ts), never
// from what a call returned.

import type { BalloonStats } from '../devices/virtio-balloon/device.ts'
import type { BlkStats } from '../devices/virtio-blk/device.ts'
import type { CompactionReport } from '../host/compaction.ts'
import type { PressureReport } from '../host/pressure.ts'
import type { HostResult } from '../vmm/host-actions.ts'
import type { HostChoice, HypervisorKind, StoreKind } from './host-choice.ts'

export type { CompactionReport } from '../host/compaction.ts'
export type { PressureReport } from '../host/pressure.ts'
export type { ReclaimKind as PressureKind } from '../host/reclaim.ts'
export type { HostResult } from '../vmm/host-actions.ts'
export type { HostChoice } from './host-choice.ts'

/** A disk. What the guest writes never changes the image. */
export interface DiskConfig {
  readonly image: Uint8Array
  /** True: what the guest writes outlives the machine, wherever its platform keeps such things; by the image's contents. */
  readonly persistent: boolean
}

/** Devices on a PCI bus, which is there when one of them is. */
export interface VirtioConfig {
  readonly console?: boolean
  readonly disk?: DiskConfig
  readonly rng?: boolean
  readonly balloon?: boolean
}

/** What to build a machine from. */
export interface MachineConfig {
  /** Bytes of emulated host memory; the one WebAssembly memory has this size. */
  readonly hostBytes: number
  /** Bytes of guest RAM, from 0x80000000. */
  readonly ramBytes: number
  readonly vcpus: number
  /** The guest: an ELF file or a Linux Image, as bytes. */
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  /** Kernel command line (/chosen/bootargs). */
  readonly append: string
  /** True: guest RAM starts private (guest_memfd half); false: shared. */
  readonly private: boolean
  /** The emulated host it runs on. */
  readonly host: HostChoice
  /** Left out: no PCI bus. */
  readonly virtio?: VirtioConfig
}

/** The machine's state, in the header of host memory (Header.MACHINE_STATE). */
export const MachineState = {
  empty: 0,
  paused: 1,
  running: 2,
  /** The guest powered off. */
  off: 3,
  /** The guest reported failure, or KVM_RUN failed for good. */
  failed: 4,
} as const

/** Why a machine stands still; for people and for exit codes. */
export interface StopReason {
  readonly state: 'off' | 'failed' | 'reboot'
  readonly message: string
}

export type ConversionPolicy = 'accept' | 'refuse'

/** One level of a walk down a tree: an xarray node or a page-table entry. */
export interface WalkStep {
  readonly level: number
  readonly index: number
  /** Byte address of the entry in host memory, for page tables. */
  readonly hpa?: number
  /** The entry, as hexadecimal text. */
  readonly entry: string
  /** An xarray node's 64 slots: 0 empty, 1 a node further down, 2 an entry. */
  readonly slots?: Uint8Array
}

/** Everything known about one guest page; what the inspector shows. */
export interface PageInspection {
  readonly gpa: number
  readonly gfn: number
  readonly slot: { id: number; flags: number; baseGfn: number; pages: number } | null
  /** KVM_MEMORY_ATTRIBUTE_PRIVATE set; under Gunyah: the page is, or will be, lent. */
  readonly attributePrivate: boolean
  /** What the guest declared (KVM's software-protected VM). */
  readonly declaredPrivate: boolean
  /** The private half: page of the guest memory file. */
  readonly gmem: { file: number; index: number; pfn: number | null; path: readonly WalkStep[] } | null
  /** The shared half: the VMM's mapping. */
  readonly host: { hva: number; pfn: number | null } | null
  /** The frame the guest uses now, if any. */
  readonly pfn: number | null
  readonly stage2: readonly WalkStep[]
  /** The walk of the host's own stage 2 to the frame; null: the host has none, and reaches every frame. */
  readonly hostStage2: readonly WalkStep[] | null
  /** Who can read the frame now. */
  readonly readableBy: readonly string[]
  /** Up to `length` bytes as the guest reads them; null when its touch would fault. */
  readonly guestBytes: Uint8Array | null
  /** The same bytes loaded by the VMM process through its mapping: bytes, or the error it really gets. */
  readonly hostBytes: HostResult<Uint8Array>
  /**
   * The same bytes loaded from the frame through /dev/mem, where no page table of the host's own protects them; null:
   * there is no frame.
   */
  readonly physicalBytes: HostResult<Uint8Array> | null
  /** NUMA node of the frame the guest uses. */
  readonly node: number | null
  /** What holds the file's folios. */
  readonly store: StoreKind | null
  /** The frame is part of a 2 MiB folio. */
  readonly large: boolean
  /** References to the frame beyond the page cache and the mappings: pins, LRU batches. */
  readonly pins: number
  /** The frame is poisoned (PG_hwpoison). */
  readonly poisoned: boolean
}

/** The host as the panel shows it. */
export interface HostState {
  /** Its name, as `riscv-7.2` or `gunyah-v17`. */
  readonly profile: string
  readonly hypervisor: HypervisorKind
  readonly store: StoreKind
  readonly nodes: number
  /** Pages (GPA) that the VMM holds pinned. */
  readonly pinned: readonly number[]
  /** Pages (GPA) whose frames are poisoned. */
  readonly poisoned: readonly number[]
  readonly pressure: PressureReport
}

/** Counters of the devices that the machine has. */
export interface DeviceStats {
  readonly disk?: Readonly<BlkStats>
  readonly balloon?: Readonly<BalloonStats> & {
    /** Pages that the host wants in the balloon, and that the driver says are in it. */
    readonly target: number
    readonly actual: number
    /** Pages whose memory went back to the host, inflated and reported ones. */
    readonly reclaimed: number
  }
}

/** Counters for `--stats` and the status bar. */
export interface MachineStats {
  readonly seconds: number
  readonly instructions: number
  readonly exits: Readonly<Record<string, number>>
  readonly guestFaults: number
  readonly conversions: number
  readonly remoteFlushes: number
  readonly zapped: number
  readonly devices: DeviceStats
}

/** How kernel paths run. `slow`: one step every `stepMs` milliseconds, locks stay held. */
export type TaskMode = { readonly kind: 'run' } | { readonly kind: 'slow'; readonly stepMs: number }

/** Where a kernel task stands. */
export interface KernelTaskState {
  readonly name: string
  /** The step it stands at, as `function/what`; null before its first. */
  readonly at: string | null
  /** It waits there for a lock, an acknowledgement or a vCPU. */
  readonly waiting: boolean
}

/** A notice for the person: an exit that needs explaining, a refused conversion, a stop. */
export interface MachineNotice {
  readonly severity: 'info' | 'warning' | 'error'
  readonly title: string
  /** The cause and, where there is one, the remedy. */
  readonly detail: string
  readonly gpa?: number
}

export interface MachineEvents {
  notice(notice: MachineNotice): void
  stopped(reason: StopReason): void
}

/** Every call rejects with a RangeError what no address, size or count can be (NaN, negative, beyond 2^41). */
export interface MachineApi {
  /** Builds a machine, paused, and returns its memory. Fails with a message that names cause and remedy. */
  create(config: MachineConfig, events: MachineEvents): Promise<WebAssembly.Memory>
  run(): Promise<void>
  /** Resolves when every vCPU is outside guest mode. */
  pause(): Promise<void>
  /** The same machine from power-on, paused; memory contents are gone. */
  reset(): Promise<void>
  setTaskMode(mode: TaskMode): Promise<void>
  setPolicy(policy: ConversionPolicy): Promise<void>
  /** Serial input; returns how many bytes the UART's buffer took (send the rest later). */
  consoleInput(bytes: Uint8Array): Promise<number>
  /** The same for the virtio console. Rejects on a machine without one. */
  virtioConsoleInput(bytes: Uint8Array): Promise<number>
  /** The terminal that shows the virtio console has another size: 1 to 65535 each. Rejects on a machine without one. */
  resizeVirtioConsole(columns: number, rows: number): Promise<void>
  /** Asks the guest to give `bytes` of its RAM back (virtio-balloon). Rejects on a machine without a balloon. */
  setBalloon(bytes: number): Promise<void>
  /** The VMM process loads `length` bytes at its own mapping of that guest page. */
  hostRead(gpa: number, length: number): Promise<HostResult<Uint8Array>>
  hostWrite(gpa: number, bytes: Uint8Array): Promise<HostResult<number>>
  /**
   * KVM_SET_MEMORY_ATTRIBUTES, or where memory is converted in place KVM_SET_MEMORY_ATTRIBUTES2 on the file, once,
   * behind the guest's back. `size` in bytes. EAGAIN: the page at `gpa` of the result is in use.
   */
  hostConvert(gpa: number, size: number, toPrivate: boolean): Promise<HostResult<number>>
  /** fallocate(PUNCH_HOLE | KEEP_SIZE) on the guest_memfd behind [gpa, gpa + size): also what cures a memory error. */
  hostPunchHole(gpa: number, size: number): Promise<HostResult<number>>
  /** fallocate(KEEP_SIZE): allocates the guest_memfd pages behind [gpa, gpa + size). */
  hostAllocate(gpa: number, size: number): Promise<HostResult<number>>
  /**
   * vmsplice of the VMM's mapping of the page into a pipe: a reference that lasts until unpinned. The frame's pfn.
   * ENODEV or EFAULT: the page is private, so the VMM has no way to it.
   */
  hostPin(gpa: number): Promise<HostResult<number>>
  /** Reads the pipe empty: 0. ENOENT when the page is not pinned. */
  hostUnpin(gpa: number): Promise<HostResult<number>>
  /** memory_failure() of the frame behind the page: its pfn. ENXIO: none; EHWPOISON: broken already. */
  hostPoison(gpa: number): Promise<HostResult<number>>
  /** lru_add_drain_all(): references given back. */
  hostDrain(): Promise<HostResult<number>>
  /** Compacts the host's memory: what moved, what refused to. */
  hostCompact(): Promise<CompactionReport>
  /** Another process takes anonymous frames until `keepFree` frames are free; null: it gives all back. */
  setPressure(keepFree: number | null): Promise<PressureReport>
  hostState(): Promise<HostState>
  inspect(gpa: number, length: number): Promise<PageInspection>
  stats(): Promise<MachineStats>
  /** Checks the memory side's invariants (docs/SPEC.md F, M, S) with the machine at rest: what is wrong, as text. */
  checkInvariants(): Promise<readonly string[]>
  /** The kernel tasks under way, for slow motion. */
  kernelTasks(): Promise<readonly KernelTaskState[]>
}
