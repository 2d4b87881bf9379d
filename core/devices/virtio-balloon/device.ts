// virtio-balloon: memory that the guest gives back (virtio 1.2, 5.5), by inflating when it is asked to, and by
// reporting what it has free (free page reporting).
//
// The contents of either are lost. A page that is deflated or allocated again comes back as any page comes that was
// never touched.

import type { KernelTask, Step } from '../../host/kernel-task.ts'
import type { Chain } from '../virtio/chain.ts'
import type { VirtioDevice, VirtioPort } from '../virtio/device.ts'
import { DriverFault } from '../virtio/device-memory.ts'
import {
  BALLOON_CLASS_CODE,
  BALLOON_DEVICE_TYPE,
  BALLOON_PAGE,
  BALLOON_QUEUE_SIZE,
  BalloonConfig,
  BalloonFeature,
  BalloonQueue,
  MAX_NUMBER_BYTES,
} from './registers.ts'

const TURN: Step = { at: 'virtio_balloon/reclaim', resched: true }

/** Gives the host the pages of [gpa, gpa + size) of guest RAM. Throws DriverFault when they are none. */
export type Reclaim = (gpa: number, size: number) => KernelTask<void>

export interface BalloonStats {
  /** Pages that inflating gave back, all told. */
  inflated: number
  /** Pages that deflating took again, all told. */
  deflated: number
  /** Pages that the guest reported free, all told. */
  reported: number
}

export class VirtioBalloon implements VirtioDevice {
  readonly name = 'virtio-balloon'
  readonly type = BALLOON_DEVICE_TYPE
  readonly classCode = BALLOON_CLASS_CODE
  readonly features = [BalloonFeature.DEFLATE_ON_OOM, BalloonFeature.REPORTING]
  readonly queueSizes = [BALLOON_QUEUE_SIZE, BALLOON_QUEUE_SIZE, BALLOON_QUEUE_SIZE, 0, BALLOON_QUEUE_SIZE]
  readonly config = new Uint8Array(BalloonConfig.BYTES)
  readonly writableConfig = [BalloonConfig.ACTUAL, BalloonConfig.BYTES] as const
  readonly stats: BalloonStats = { inflated: 0, deflated: 0, reported: 0 }
  readonly #view = new DataView(this.config.buffer)
  readonly #reclaim: Reclaim

  constructor(reclaim: Reclaim) {
    this.#reclaim = reclaim
  }

  /** Pages that the host wants in the balloon. */
  get target(): number {
    return this.#view.getUint32(BalloonConfig.NUM_PAGES, true)
  }

  /** Pages in the balloon, as the driver says. */
  get actual(): number {
    return this.#view.getUint32(BalloonConfig.ACTUAL, true)
  }

  /** Asks the driver for so many pages. */
  setTarget(port: VirtioPort, pages: number): void {
    this.#view.setUint32(BalloonConfig.NUM_PAGES, pages, true)
    port.configChanged()
  }

  *serve(port: VirtioPort, index: number): KernelTask<void> {
    const queue = port.queue(index)
    for (let left = yield* queue.waiting(); left > 0; left--) {
      const chain = yield* queue.take()
      if (index === BalloonQueue.INFLATE) yield* this.#inflate(chain)
      else if (index === BalloonQueue.DEFLATE) this.stats.deflated += Math.floor(chain.readableBytes / 4)
      else yield* this.#report(chain)
      // Nothing is written into a reported page, although it is a buffer to be written.
      yield* queue.putBack(chain, 0)
      if (left > 1) yield TURN
    }
  }

  /** The pages in the balloon are the guest's to forget; the host's wish stays. */
  reset(): void {
    this.#view.setUint32(BalloonConfig.ACTUAL, 0, true)
  }

  /** A request is a list of page numbers; neighbours go in one piece. */
  *#inflate(chain: Chain): KernelTask<void> {
    if (chain.readableBytes > MAX_NUMBER_BYTES)
      throw new DriverFault(`a request to inflate has ${chain.readableBytes} bytes of page numbers`)
    const bytes = yield* chain.read(MAX_NUMBER_BYTES)
    const view = new DataView(bytes.buffer)
    const numbers = Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(4 * i, true))
    numbers.sort((a, b) => a - b)
    for (let first = 0; first < numbers.length; ) {
      let next = first + 1
      while (next < numbers.length && numbers[next] <= numbers[next - 1] + 1) next++
      const pages = numbers[next - 1] - numbers[first] + 1
      yield* this.#reclaim(numbers[first] * BALLOON_PAGE, pages * BALLOON_PAGE)
      this.stats.inflated += pages
      first = next
    }
  }

  /** A request's buffers are the free pages themselves. */
  *#report(chain: Chain): KernelTask<void> {
    for (const { gpa, length } of chain.writable) {
      if (length === 0) continue
      if (gpa % BALLOON_PAGE !== 0 || length % BALLOON_PAGE !== 0)
        throw new DriverFault(`0x${gpa.toString(16)} + ${length} bytes reported free are no pages`)
      yield* this.#reclaim(gpa, length)
      this.stats.reported += length / BALLOON_PAGE
    }
  }
}
