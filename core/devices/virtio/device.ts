// What a virtio device is below its transport, and what the transport gives it.

import type { KernelTask } from '../../host/kernel-task.ts'
import type { SplitQueue } from './split-queue.ts'

/** The transport as a device uses it, while the transport's lock is held. */
export interface VirtioPort {
  /** True when the driver is ready and the device works. */
  readonly live: boolean
  /** A feature bit that driver and device agreed on. */
  negotiated(feature: number): boolean
  queue(index: number): SplitQueue
  /** Something in `config` changed that the driver is to hear of. */
  configChanged(): void
}

export interface VirtioDevice {
  /** For notices: `virtio-blk`. */
  readonly name: string
  /** Device type (virtio 1.2, chapter 5). */
  readonly type: number
  /** PCI class, subclass and programming interface, as 0xCCSSPP. */
  readonly classCode: number
  /** Feature bits it offers, VIRTIO_F_VERSION_1 aside. */
  readonly features: readonly number[]
  /** The largest size of each queue: a power of two, or 0 for a number that no queue has. */
  readonly queueSizes: readonly number[]
  /** Its configuration as the driver reads it. */
  readonly config: Uint8Array
  /** Bytes [start, end) of `config` that the driver may write. */
  readonly writableConfig: readonly [start: number, end: number]
  /**
   * Serves what waits in a queue: the driver kicked it, or became ready. A DriverFault stops the device until it is
   * reset.
   */
  serve(port: VirtioPort, queue: number): KernelTask<void>
  /** The driver reset the device: requests under way are forgotten. */
  reset(): void
}
