// virtio-rng: random bytes from the host (virtio 1.2, 5.4).

import type { KernelTask } from '../../host/kernel-task.ts'
import type { VirtioDevice, VirtioPort } from '../virtio/device.ts'

const DEVICE_TYPE = 4
/** An unclassified device, as virtio devices without a class of their own are. */
const CLASS_CODE = 0x00ff00
const QUEUE_SIZE = 8
/** Bytes given to one request, however much it asks for: a driver asks again. */
const MAX_BYTES = 4096

export class VirtioRng implements VirtioDevice {
  readonly name = 'virtio-rng'
  readonly type = DEVICE_TYPE
  readonly classCode = CLASS_CODE
  readonly features = []
  readonly queueSizes = [QUEUE_SIZE]
  readonly config = new Uint8Array(0)
  readonly writableConfig = [0, 0] as const
  readonly #randomBytes: (count: number) => Uint8Array

  constructor(randomBytes: (count: number) => Uint8Array) {
    this.#randomBytes = randomBytes
  }

  *serve(port: VirtioPort, index: number): KernelTask<void> {
    const queue = port.queue(index)
    for (let left = yield* queue.waiting(); left > 0; left--) {
      const chain = yield* queue.take()
      yield* chain.write(this.#randomBytes(Math.min(chain.writableBytes, MAX_BYTES)))
      yield* queue.putBack(chain)
    }
  }

  reset(): void {}
}
