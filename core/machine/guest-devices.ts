// The devices that the VMM serves for one power-on of the machine: the clock, and a PCI bus with virtio devices.
//
// Guest memory is reached through the VMM process; interrupts leave by the PLIC.

import { GoldfishRtc } from '../devices/goldfish-rtc/device.ts'
import {
  PCI_ECAM_BASE,
  PCI_ECAM_SIZE,
  PCI_MMIO_BASE,
  PCI_MMIO_SIZE,
  pciIrq,
  RTC_BASE,
  RTC_IRQ,
  RTC_SIZE,
} from '../devices/memory-map.ts'
import { MmioBus, type MmioRegion } from '../devices/mmio-bus.ts'
import { PciBus } from '../devices/pci/bus.ts'
import type { PlatformDevices } from '../devices/platform-devices.ts'
import type { VirtioDevice } from '../devices/virtio/device.ts'
import { GuestMemoryFault } from '../devices/virtio/device-memory.ts'
import { VirtioPciFunction } from '../devices/virtio/pci-function.ts'
import type { VirtioTransport } from '../devices/virtio/transport.ts'
import { VirtioBalloon } from '../devices/virtio-balloon/device.ts'
import { BALLOON_PAGE } from '../devices/virtio-balloon/registers.ts'
import type { BlockBackend } from '../devices/virtio-blk/backend.ts'
import { VirtioBlk } from '../devices/virtio-blk/device.ts'
import { VirtioConsole } from '../devices/virtio-console/device.ts'
import { VirtioRng } from '../devices/virtio-rng/device.ts'
import type { KernelTask } from '../host/kernel-task.ts'
import { VmmDeviceMemory } from '../vmm/device-memory.ts'
import type { Vmm } from '../vmm/vmm.ts'
import type { DeviceStats, VirtioConfig } from './api.ts'
import type { Notices } from './notices.ts'

/** Where each device is on the bus: the same whatever others there are, so that a guest's names for them stay. */
const Slot = { console: 1, disk: 2, rng: 3, balloon: 4 } as const

/** Period at which output that waits for a reader is looked at, in milliseconds. */
const STALLED_MS = 4

/** The slots that a machine's devices take. */
export const pciSlots = ({ console, disk, rng, balloon }: VirtioConfig): number[] => [
  ...(console ? [Slot.console] : []),
  ...(disk ? [Slot.disk] : []),
  ...(rng ? [Slot.rng] : []),
  ...(balloon ? [Slot.balloon] : []),
]

export interface GuestDeviceOptions {
  readonly vmm: Vmm
  readonly devices: PlatformDevices
  readonly config: VirtioConfig
  /** What is behind the disk; null where the configuration has none. */
  readonly disk: BlockBackend | null
  readonly notices: Notices
  randomBytes(count: number): Uint8Array
}

/** A device and what is between it and the driver. */
interface Attached<T extends VirtioDevice> {
  readonly device: T
  readonly transport: VirtioTransport
}

export class GuestDevices {
  readonly mmio: MmioBus
  readonly #o: GuestDeviceOptions
  readonly #rtc: GoldfishRtc
  readonly #functions = new Map<number, VirtioPciFunction>()
  readonly #console: Attached<VirtioConsole> | null
  readonly #disk: Attached<VirtioBlk> | null
  readonly #balloon: Attached<VirtioBalloon> | null
  /** Pages of guest RAM whose memory went back to the host. */
  #reclaimed = 0
  /** A task of the console's that goes on printing is under way. */
  #resuming = false

  constructor(options: GuestDeviceOptions) {
    const { config, disk, devices, notices } = options
    this.#o = options
    this.#rtc = new GoldfishRtc(Date.now, (level) => devices.plic.setLevel(RTC_IRQ, level))
    this.#console = config.console
      ? this.#attach(Slot.console, new VirtioConsole(devices.consoleOutput))
      : null
    this.#disk = disk
      ? this.#attach(Slot.disk, new VirtioBlk(disk, (error) => notices.diskFailed(error)))
      : null
    if (config.rng) this.#attach(Slot.rng, new VirtioRng(options.randomBytes))
    this.#balloon = config.balloon
      ? this.#attach(Slot.balloon, new VirtioBalloon((gpa, size) => this.#reclaim(gpa, size)))
      : null
    const regions: MmioRegion[] = [{ base: RTC_BASE, size: RTC_SIZE, device: this.#rtc }]
    if (this.#functions.size > 0) {
      const pci = new PciBus(this.#functions)
      regions.push({ base: PCI_ECAM_BASE, size: PCI_ECAM_SIZE, device: pci.ecam })
      regions.push({ base: PCI_MMIO_BASE, size: PCI_MMIO_SIZE, device: pci.window })
    }
    this.mmio = new MmioBus(regions)
  }

  /** Milliseconds until `poll` has something to do although nobody rings; Infinity for never. */
  get wantsPollIn(): number {
    const stalled = this.#console?.device.stalled(this.#console.transport)
    return Math.min(stalled ? STALLED_MS : Number.POSITIVE_INFINITY, this.#rtc.dueInMs)
  }

  /** Does what comes with time: the clock's alarm, and output that waited for room. */
  poll(): void {
    this.#rtc.tick()
    const console = this.#console
    if (!console?.device.canResume(console.transport) || this.#resuming) return
    this.#resuming = true
    const resume = console.transport.act(() => console.device.resume(console.transport))
    this.#o.vmm.process.host.scheduler.spawn('virtio-console', this.#resumed(resume))
  }

  /** Keys for the virtio console; returns how many bytes were taken. */
  *typed(bytes: Uint8Array): KernelTask<number> {
    const { device, transport } = required(this.#console, 'virtio console')
    const taken = device.take(bytes)
    yield* transport.act(() => device.deliver(transport))
    return taken
  }

  /** The size of the terminal that shows the virtio console. */
  resized(columns: number, rows: number): void {
    const { device, transport } = required(this.#console, 'virtio console')
    device.resize(transport, columns, rows)
  }

  /** Asks the guest to keep `bytes` of its memory in the balloon. */
  ballooned(bytes: number): void {
    const { device, transport } = required(this.#balloon, 'balloon')
    device.setTarget(transport, Math.floor(bytes / BALLOON_PAGE))
  }

  stats(): DeviceStats {
    const balloon = this.#balloon?.device
    return {
      ...(this.#disk ? { disk: { ...this.#disk.device.stats } } : {}),
      ...(balloon
        ? {
            balloon: {
              ...balloon.stats,
              target: balloon.target,
              actual: balloon.actual,
              reclaimed: this.#reclaimed,
            },
          }
        : {}),
    }
  }

  #attach<T extends VirtioDevice>(slot: number, device: T): Attached<T> {
    const { vmm, devices, notices } = this.#o
    const pci = new VirtioPciFunction(device, {
      host: vmm.process.host,
      memory: new VmmDeviceMemory(vmm),
      setLevel: (level) => devices.plic.setLevel(pciIrq(slot), level),
      stopped: (name, fault) => notices.deviceStopped(name, fault),
    })
    this.#functions.set(slot, pci)
    return { device, transport: pci.transport }
  }

  /** The guest has no use for what is in these pages: their memory goes back to the host. */
  *#reclaim(gpa: number, size: number): KernelTask<void> {
    const { vmm } = this.#o
    if (!vmm.memory.contains(gpa, size)) throw new GuestMemoryFault(gpa, 'outside', 'EFAULT')
    const result = yield* vmm.memory.reclaim(gpa, size)
    // A page that somebody holds stays: giving back is a favour, not a duty.
    if (result === 0) this.#reclaimed += size / BALLOON_PAGE
  }

  *#resumed(task: KernelTask<void>): KernelTask<void> {
    try {
      yield* task
    } finally {
      this.#resuming = false
    }
  }
}

/** A device that the machine was built with. */
const required = <T>(device: T | null, name: string): T => {
  if (device === null) throw new Error(`this machine has no ${name}: build one that has`)
  return device
}
